package abi

import (
	"context"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// The shapes that most functions have. A shape's name says what comes after the device: numbers in, then what comes out.

type (
	client = *model.Client
	dev    = model.Device
	ret    = model.Return
	ctxt   = context.Context
)

// global is one value of the node; the pointer is the first argument.
func global[T any](f func(client, ctxt) (T, ret)) Handler {
	return func(k *Call) ret {
		v, r := f(k.Client, k.ctx)
		if r == model.Success {
			k.put(0, v)
		}
		return r
	}
}

// one is one value of a device.
func one[T any](f func(client, ctxt, dev) (T, ret)) Handler {
	return func(k *Call) ret {
		v, r := f(k.Client, k.ctx, k.device(0))
		if r == model.Success {
			k.put(1, v)
		}
		return r
	}
}

// two are two values of a device.
func two[A, B any](f func(client, ctxt, dev) (A, B, ret)) Handler {
	return func(k *Call) ret {
		a, b, r := f(k.Client, k.ctx, k.device(0))
		if r == model.Success {
			k.put(1, a)
			k.put(2, b)
		}
		return r
	}
}

// by is one value of a device by a number.
func by[T any](f func(client, ctxt, dev, uint32) (T, ret)) Handler {
	return func(k *Call) ret {
		v, r := f(k.Client, k.ctx, k.device(0), k.u32(1))
		if r == model.Success {
			k.put(2, v)
		}
		return r
	}
}

// by2 is one value of a device by two numbers.
func by2[T any](f func(client, ctxt, dev, uint32, uint32) (T, ret)) Handler {
	return func(k *Call) ret {
		v, r := f(k.Client, k.ctx, k.device(0), k.u32(1), k.u32(2))
		if r == model.Success {
			k.put(3, v)
		}
		return r
	}
}

// pair is one value of two devices.
func pair[T any](f func(client, ctxt, dev, dev) (T, ret)) Handler {
	return func(k *Call) ret {
		v, r := f(k.Client, k.ctx, k.device(0), k.device(1))
		if r == model.Success {
			k.put(2, v)
		}
		return r
	}
}

// set sets a number of a device.
func set(f func(client, ctxt, dev, uint32) ret) Handler {
	return func(k *Call) ret { return f(k.Client, k.ctx, k.device(0), k.u32(1)) }
}

// flag sets a switch of a device.
func flag(f func(client, ctxt, dev, bool) ret) Handler {
	return func(k *Call) ret { return f(k.Client, k.ctx, k.device(0), k.u32(1) != 0) }
}

// text is a string of a device with the buffer's length behind it.
func text(f func(client, ctxt, dev) (string, ret)) Handler {
	return func(k *Call) ret {
		s, r := f(k.Client, k.ctx, k.device(0))
		if r != model.Success {
			return r
		}
		return k.putText(1, s)
	}
}

// find looks a device up by a string.
func find(f func(client, ctxt, string) (dev, ret)) Handler {
	return func(k *Call) ret {
		d, r := f(k.Client, k.ctx, k.text(0))
		if r == model.Success {
			k.put(1, d)
		}
		return r
	}
}

// list writes an array: its size goes to pointer count; one that is too small is InsufficientSize with the size needed.
func list[T any](k *Call, items []T, r ret, count, array int) ret {
	if r != model.Success {
		return r
	}
	room := k.u32(count)
	k.put(count, uint32(len(items)))
	if int(room) < len(items) {
		return model.InsufficientSize
	}
	return write(k, items, array)
}

// fill writes an array that the caller promised to be large enough; NULL asks for the size alone.
func fill[T any](k *Call, items []T, r ret, count, array int) ret {
	if r != model.Success {
		return r
	}
	k.put(count, uint32(len(items)))
	return write(k, items, array)
}

func write[T any](k *Call, items []T, array int) ret {
	a := k.arg(array)
	if a.Null {
		return model.Success
	}
	for _, v := range items {
		a.Out = append(a.Out, k.layout(v)...)
	}
	if len(a.Out) > a.Cap {
		k.bad = true
	}
	return model.Success
}

// listOf is list for arrays of a device behind their count.
func listOf[T any](f func(client, ctxt, dev) ([]T, ret)) Handler {
	return func(k *Call) ret {
		items, r := f(k.Client, k.ctx, k.device(0))
		return list(k, items, r, 1, 2)
	}
}

// version reads the version word at the start of a structure; 0 when it is none of the sizes, which are those of versions 1, 2, ...
func (k *Call) version(i int, sizes ...int) int {
	word := k.u32(i)
	for v, size := range sizes {
		if size > 0 && word == uint32(size)|uint32(v+1)<<24 && k.arg(i).Cap >= size {
			return v + 1
		}
	}
	return 0
}

// versioned is one value of a device in a structure of version 1 with that size.
func versioned[T any](size int, f func(client, ctxt, dev) (T, ret), lay func(T) raw) Handler {
	return func(k *Call) ret {
		word := k.u32(1)
		if k.version(1, size) == 0 {
			return k.mismatch()
		}
		v, r := f(k.Client, k.ctx, k.device(0))
		if r == model.Success {
			k.put(1, append(raw{}.u32(word), lay(v)...))
		}
		return r
	}
}

// mismatch is the answer to an unknown version, once the session is known to be good.
func (k *Call) mismatch() ret {
	if _, r := k.Client.SystemGetDriverVersion(k.ctx); r != model.Success {
		return r
	}
	return model.ArgumentVersionMismatch
}
