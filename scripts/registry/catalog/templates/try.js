// Runs the model of a page on a picture. The picture stays in the browser; nothing is sent.
// Pixels are cropped and scaled as `registry evaluate` does it, with Pillow's filters, because a canvas has others.
"use strict";

{
  const SHOWN = 10; // classes
  const place = document.querySelector("[data-try]"), form = place.querySelector("form");
  const said = place.querySelector("[data-said]"), rows = place.querySelector("tbody");
  const canvas = place.querySelector("canvas"), chooser = form.querySelector("input");
  const classes = JSON.parse(place.dataset.classes), given = JSON.parse(place.dataset.input);

  // --- pixels ---------------------------------------------------------------------------------------------------------

  const sinc = x => x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
  const cubic = x => x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-.5 * x + 2.5) * x - 4) * x + 2 : 0;
  const FILTERS = { // how far each reaches in pixels, and its weight at a distance
    box: [.5, x => x > -.5 && x <= .5 ? 1 : 0],
    bilinear: [1, x => Math.max(0, 1 - Math.abs(x))],
    hamming: [1, x => Math.abs(x) < 1 ? sinc(x) * (.54 + .46 * Math.cos(Math.PI * x)) : 0],
    bicubic: [2, x => cubic(Math.abs(x))],
    lanczos: [3, x => Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0],
  };

  // For each of `size` pixels that stand for `from` to `to` of a line: the first pixel that it is made of, and weights.
  const weigh = (from, to, size, length, filter) => {
    [from, to] = [Math.fround(from), Math.fround(to)]; // as precise as Pillow's
    const scale = (to - from) / size;
    if (filter === "nearest") {
      let place = from + .5 * scale; // added up as Pillow does, which decides between two pixels that are equally near
      return Array.from({length: size}, () => {
        const at = Math.min(length - 1, Math.trunc(place));
        place += scale;
        return [at, [1]];
      });
    }
    const [reach, shape] = FILTERS[filter], wide = Math.max(scale, 1);
    return Array.from({length: size}, (_, at) => {
      const centre = from + (at + .5) * scale;
      const first = Math.max(0, Math.trunc(centre - reach * wide + .5));
      const end = Math.min(length, Math.trunc(centre + reach * wide + .5));
      const parts = Array.from({length: end - first}, (_, near) => shape((near + first - centre + .5) * (1 / wide)));
      const sum = parts.reduce((all, one) => all + one, 0);
      return [first, parts.map(one => one / sum)];
    });
  };

  const up = x => Math.floor(x + .5); // arrays would round half to even

  // A box [left, top, right, bottom] of RGBA pixels as width × height RGB pixels: first along lines, then across them.
  const scale = (image, box, width, height, filter) => {
    const along = weigh(box[0], box[2], width, image.width, filter);
    const across = weigh(box[1], box[3], height, image.height, filter);
    const top = Math.min(...across.map(([first]) => first));
    const bottom = Math.max(...across.map(([first, parts]) => first + parts.length));
    const lines = new Uint8ClampedArray((bottom - top) * width * 3), made = new Uint8ClampedArray(height * width * 3);
    for (let y = top; y < bottom; y++) {
      for (let x = 0; x < width; x++) {
        const [first, parts] = along[x];
        let red = 0, green = 0, blue = 0, from = (y * image.width + first) * 4;
        for (const part of parts) {
          red += part * image.data[from];
          green += part * image.data[from + 1];
          blue += part * image.data[from + 2];
          from += 4;
        }
        lines.set([red, green, blue].map(up), ((y - top) * width + x) * 3);
      }
    }
    for (let y = 0; y < height; y++) {
      const [first, parts] = across[y];
      for (let at = 0; at < width * 3; at++) {
        let sum = 0, from = (first - top) * width * 3 + at;
        for (const part of parts) {
          sum += part * lines[from];
          from += width * 3;
        }
        made[y * width * 3 + at] = up(sum);
      }
    }
    return made;
  };

  const even = x => Math.abs(x % 1) === .5 ? 2 * Math.round(x / 2) : Math.round(x); // as Python rounds

  const toSquare = image => {
    const {size, crop, fraction, filter} = given, {width, height} = image, whole = [0, 0, width, height];
    if (crop === "stretch") return scale(image, whole, size, size, filter);
    if (crop === "pad") {
      const across = width < height ? even(width / height * size) : size;
      const down = height < width ? even(height / width * size) : size;
      const inner = scale(image, whole, across, down, filter), square = new Uint8ClampedArray(size * size * 3);
      const left = even((size - across) / 2), top = even((size - down) / 2);
      for (let y = 0; y < down; y++) {
        square.set(inner.subarray(y * across * 3, (y + 1) * across * 3), ((top + y) * size + left) * 3);
      }
      return square;
    }
    const side = fraction * Math.min(width, height), left = (width - side) / 2, top = (height - side) / 2;
    return scale(image, [left, top, left + side, top + side], size, size, filter);
  };

  // The pixels of a file: upright, without a colour profile, on white where it is transparent.
  const decode = async file => {
    const bitmap = await createImageBitmap(file, {colorSpaceConversion: "none"});
    const pen = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", {willReadFrequently: true});
    pen.fillStyle = "white";
    pen.fillRect(0, 0, bitmap.width, bitmap.height);
    pen.drawImage(bitmap, 0, 0);
    bitmap.close();
    return pen.getImageData(0, 0, pen.canvas.width, pen.canvas.height);
  };

  // --- the model ------------------------------------------------------------------------------------------------------

  const load = async address => {
    const response = await fetch(address);
    if (!response.ok) throw new Error(`${address}: ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  };

  const open = async () => {
    const runtime = new URL(place.dataset.runtime, location.href).href;
    const ort = await import(`${runtime}ort.wasm.bundle.min.mjs`);
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = (await load(`${runtime}ort-wasm-simd-threaded.wasm`)).buffer;
    const session = await ort.InferenceSession.create(await load(place.dataset.try));
    return async pixels => {
      const images = new ort.Tensor("uint8", new Uint8Array(pixels.buffer), [1, given.size, given.size, 3]);
      return [...(await session.run({images})).scores.data];
    };
  };

  let opened = null;

  // --- the page -------------------------------------------------------------------------------------------------------

  const draw = square => {
    const image = new ImageData(given.size, given.size);
    for (let from = 0, at = 0; at < image.data.length; at += 4, from += 3) {
      image.data.set([square[from], square[from + 1], square[from + 2], 255], at);
    }
    canvas.width = canvas.height = given.size;
    canvas.getContext("2d").putImageData(image, 0, 0);
    canvas.hidden = false;
  };

  const percent = score => `${(100 * score).toFixed(1)} %`;

  const list = scores => {
    const best = scores.map((score, at) => [score, classes[at]]).sort((a, b) => b[0] - a[0]).slice(0, SHOWN);
    rows.replaceChildren(...best.map(([score, name]) => {
      const row = place.querySelector("template").content.firstElementChild.cloneNode(true);
      const [head, bar, number] = row.children;
      head.textContent = name;
      bar.querySelector("rect").setAttribute("width", 100 * score);
      number.textContent = percent(score);
      return row;
    }));
    said.textContent = `${best[0][1]}, ${percent(best[0][0])}`;
  };

  const judge = async file => {
    let square;
    rows.replaceChildren();
    canvas.hidden = true;
    said.textContent = "Reading the picture …";
    try {
      square = toSquare(await decode(file));
    } catch {
      said.textContent = `${file.name} is no picture that this browser can read.`;
      return;
    }
    draw(square);
    said.textContent = "Running the model …";
    try {
      opened ??= open();
      list(await (await opened)(square));
    } catch (error) {
      opened = null;
      said.textContent = `The model could not be run: ${error.message}`;
    }
  };

  let queue = Promise.resolve(); // a session runs once at a time
  const take = file => { if (file) queue = queue.then(() => judge(file)); };

  if (location.protocol !== "file:") { // from a folder, browsers load no model
    form.hidden = false;
    said.textContent = "";
    form.addEventListener("submit", event => event.preventDefault());
    chooser.addEventListener("click", () => { chooser.value = ""; }); // so that one can choose the same file again
    chooser.addEventListener("change", () => take(chooser.files[0]));
    place.addEventListener("dragover", event => event.preventDefault());
    place.addEventListener("drop", event => {
      event.preventDefault();
      take(event.dataTransfer.files[0]);
    });
  }
}
