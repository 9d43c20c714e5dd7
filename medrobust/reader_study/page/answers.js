// What a reader has answered: kept in the browser after every change, exported as JSON or CSV with a checksum over the content.
const SCALES = ["malignancy", "tampering"];

class Answers {
  constructor(study) {
    this.study = study;
    this.place = `medrobust-study-${study.commitment}`;
    this.images = study.items.flatMap((item) => item.images.map((image) => ({ item: item.item, image: image.image })));
    this.kept = true;
    this.state = this.read() || this.blank();
  }

  blank() { return { reader: null, at: 0, ratings: {}, times: {}, exported: false }; }

  // What the browser has kept; null where there is nothing, or nothing of this shape.
  read() {
    try {
      const found = JSON.parse(localStorage.getItem(this.place));
      if (!found || !found.reader || typeof found.reader.name !== "string" || typeof found.ratings !== "object") return null;
      const state = { ...this.blank(), reader: this.reader(found.reader), exported: Boolean(found.exported) };
      state.at = Math.min(this.study.items.length - 1, Math.max(0, Number.parseInt(found.at, 10) || 0));
      for (const { item, image } of this.images) {
        const one = found.ratings[image] || {};
        for (const scale of SCALES) if (Number.isInteger(one[scale]) && one[scale] >= 0 && one[scale] <= 100) (state.ratings[image] ||= {})[scale] = one[scale];
        if (Number.isFinite((found.times || {})[item])) state.times[item] = found.times[item];
      }
      return state;
    } catch (error) {
      return null;
    }
  }

  save() {
    try {
      localStorage.setItem(this.place, JSON.stringify(this.state));
    } catch (error) {
      this.kept = false;
    }
    return this.kept;
  }

  erase() {
    try { localStorage.removeItem(this.place); } catch (error) { /* nothing was kept */ }
    this.state = this.blank();
  }

  reader(given) {
    const clean = (text) => String(text || "").replace(/[\p{C}\p{Zl}\p{Zp}]/gu, " ").replace(/\s+/g, " ").trim().slice(0, 60).trim();
    const count = (text, most) => (/^\d{1,6}$/.test(String(text ?? "").trim()) ? Math.min(most, Number(text)) : null);
    return { name: clean(given.name), role: clean(given.role), years: count(given.years, 80), volume: count(given.volume, 100000) };
  }

  rate(image, scale, value) {
    (this.state.ratings[image] ||= {})[scale] = value;
    this.state.exported = false;
  }

  value(image, scale) {
    const one = this.state.ratings[image];
    return one && scale in one ? one[scale] : null;
  }

  complete(item) { return item.images.every(({ image }) => SCALES.every((scale) => this.value(image, scale) !== null)); }
  left() { return this.study.items.filter((item) => !this.complete(item)); }

  rows() {
    const seen = this.images.filter(({ image }) => this.state.ratings[image]);
    return seen.map(({ item, image }) => ({
      image, malignancy: this.value(image, "malignancy"), tampering: this.value(image, "tampering"), item_ms: Math.round(this.state.times[item] || 0),
    }));
  }

  // One line a field and a row, as `medrobust reader-study score` rebuilds it.
  checksum() {
    const { name, role, years, volume } = this.state.reader;
    const lines = [this.study.format, this.study.study, this.study.commitment, name, role, years ?? "", volume ?? ""];
    for (const row of this.rows()) lines.push(Object.values(row).map((value) => value ?? "").join(","));
    return sha256(lines.join("\n"));
  }

  json() {
    const { format, study, commitment } = this.study;
    return JSON.stringify({ format, study, commitment, reader: this.state.reader, answers: this.rows(), checksum: this.checksum() }, null, 1) + "\n";
  }

  csv() {
    const { format, study, commitment } = this.study, { name, role, years, volume } = this.state.reader;
    const head = { format, study, commitment, name, role, years: years ?? "", volume: volume ?? "", checksum: this.checksum() };
    const lines = Object.entries(head).map(([field, value]) => `# ${field}: ${value}`);
    lines.push("image,malignancy,tampering,item_ms");
    for (const row of this.rows()) lines.push(Object.values(row).map((value) => value ?? "").join(","));
    return lines.join("\n") + "\n";
  }

  file(kind) {
    const who = this.state.reader.name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "reader";
    return `answers-${this.study.study}-${who}.${kind}`;
  }
}
