// Views of typed arrays without eval. The viewer draws segmentations through a library that writes the source of a class for
// each kind of array and hands it to `new Function`, which our Content-Security-Policy forbids (DESIGN §5): segmentations
// would spin for ever. That one kind of source is answered with the classes below; all other is refused as before.
//
// A view says of `data` where element (i, j, …) lies: offset + stride[0] * i + stride[1] * j + …
const NAMED = /^\s*(?:'use strict'\s*)?function View(?:_Nil|(\d+)d)([a-z]+[0-9]*(?:_clamped)?)\(a/;

// Lets `new Function` of the page answer sources of array views.
export function answerArrayViews(page) {
  const Original = page.Function;
  const construct = (target, parameters, newTarget) => {
    const [, dimension, dtype] = NAMED.exec(String(parameters.at(-1))) ?? [];
    if (dtype === undefined) return Reflect.construct(target, parameters, newTarget);
    return (views) => maker(dtype, dimension === undefined ? -1 : Number(dimension), views);
  };
  page.Function = new Proxy(Original, { construct });
}

// What makes views of one element type and number of dimensions; `views` are the makers of the type, from -1 dimensions on.
function maker(dtype, dimension, views) {
  if (dimension < 0) return (data) => new NoView(data, dtype);
  const pick = (count) => (dimension === 0 ? views : views[count + 1]);
  const Kind = dimension === 2 ? PlaneView : ArrayView;
  return (data, shape, stride, offset) => new Kind({ data, shape: shape ?? [], stride: stride ?? [], offset: offset | 0, dtype, pick });
}

class NoView {
  constructor(data, dtype) {
    Object.assign(this, { data, dtype, size: 0, dimension: -1, shape: [], stride: [], order: [] });
  }

  index() {
    return -1;
  }

  get() {}

  set() {}

  pick() {
    return null;
  }

  lo() {
    return new NoView(this.data, this.dtype);
  }

  hi() {
    return this.lo();
  }

  step() {
    return this.lo();
  }

  transpose() {
    return this.lo();
  }
}

class ArrayView {
  #pick;

  constructor({ data, shape, stride, offset, dtype, pick }) {
    this.data = data;
    this.shape = [...shape];
    this.stride = [...stride];
    this.offset = offset;
    this.dtype = dtype;
    this.dimension = this.shape.length;
    this.#pick = pick;
  }

  get size() {
    return this.shape.reduce((product, length) => product * length, 1);
  }

  // The axes from the one whose neighbours lie closest to the widest.
  get order() {
    const axes = this.stride.map((_, axis) => axis);
    return axes.sort((one, other) => Math.abs(this.stride[one]) - Math.abs(this.stride[other]));
  }

  index(...place) {
    return this.stride.reduce((sum, stride, axis) => sum + stride * place[axis], this.offset);
  }

  get(...place) {
    const at = this.index(...place);
    return this.dtype === "generic" ? this.data.get(at) : this.data[at];
  }

  set(...placeAndValue) {
    return this.write(this.index(...placeAndValue), placeAndValue[this.dimension]);
  }

  write(at, value) {
    if (this.dtype === "generic") return this.data.set(at, value);
    this.data[at] = value;
    return value;
  }

  valueOf() {
    return this.dimension === 0 ? this.get() : this;
  }

  hi(...ends) {
    return this.#like({ shape: this.shape.map((length, axis) => (isPlace(ends[axis]) ? ends[axis] | 0 : length)) });
  }

  lo(...starts) {
    const from = this.shape.map((_, axis) => (isPlace(starts[axis]) ? starts[axis] | 0 : 0));
    return this.#like({ shape: this.shape.map((length, axis) => length - from[axis]), offset: this.index(...from) });
  }

  step(...steps) {
    const by = this.shape.map((_, axis) => (typeof steps[axis] === "number" ? steps[axis] | 0 : 1));
    // Backwards one begins at the end.
    const from = by.map((step, axis) => (step < 0 ? this.shape[axis] - 1 : 0));
    return this.#like({
      shape: this.shape.map((length, axis) => Math.ceil(length / Math.abs(by[axis]))),
      stride: this.stride.map((stride, axis) => stride * by[axis]),
      offset: this.index(...from),
    });
  }

  transpose(...axes) {
    const order = this.shape.map((_, axis) => (axes[axis] === undefined ? axis : axes[axis] | 0));
    return this.#like({ shape: order.map((axis) => this.shape[axis]), stride: order.map((axis) => this.stride[axis]) });
  }

  pick(...place) {
    const isFree = (_, axis) => !isPlace(place[axis]);
    const [shape, stride] = [this.shape.filter(isFree), this.stride.filter(isFree)];
    const offset = this.index(...this.shape.map((_, axis) => (isPlace(place[axis]) ? place[axis] : 0))) | 0;
    return this.#pick(shape.length)(this.data, shape, stride, offset);
  }

  #like(changed) {
    const { data, shape, stride, offset, dtype } = this;
    return new this.constructor({ data, shape, stride, offset, dtype, pick: this.#pick, ...changed });
  }
}

// Pixels of a plane are many.
class PlaneView extends ArrayView {
  index(row, column) {
    return this.offset + this.stride[0] * row + this.stride[1] * column;
  }

  get(row, column) {
    const at = this.index(row, column);
    return this.dtype === "generic" ? this.data.get(at) : this.data[at];
  }

  set(row, column, value) {
    return this.write(this.index(row, column), value);
  }
}

function isPlace(value) {
  return typeof value === "number" && value >= 0;
}
