"""What a page in the browser is asked: its least contrast, and what axe finds."""

CONTRAST = """
(() => {
  const canvas = document.createElement("canvas"), pen = canvas.getContext("2d", {willReadFrequently: true});
  const numbers = (colour, under) => {
    pen.fillStyle = under; pen.fillRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const css = rgb => `rgb(${rgb.join(",")})`;
  const light = rgb => rgb.map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, place) => sum + v * [.2126, .7152, .0722][place], 0);
  const ground = element => {
    const chain = []; for (let one = element; one; one = one.parentElement) chain.unshift(one);
    return chain.reduce((under, one) => css(numbers(getComputedStyle(one).backgroundColor, under)), "white");
  };
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let least = 21;
  while (words.nextNode()) {
    if (!words.currentNode.data.trim()) continue;
    const element = words.currentNode.parentElement, under = ground(element);
    const [a, b] = [getComputedStyle(element).color, under].map(one => light(numbers(one, under)));
    least = Math.min(least, (Math.max(a, b) + .05) / (Math.min(a, b) + .05));
  }
  return least;
})()
"""


# Contrast is measured above: axe does not where something scrolls, and takes longer than for all other rules.
ACCESSIBLE = """
axe.run({rules: {"color-contrast": {enabled: false}}}).then(found => found.violations.map(
  one => `${one.id}: ${one.help}: ${one.nodes.map(node => node.html)}`))
"""
