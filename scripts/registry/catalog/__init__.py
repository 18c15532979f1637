"""What a registry has, as a web site: static pages, which open from a folder, a bucket or GitHub Pages."""
