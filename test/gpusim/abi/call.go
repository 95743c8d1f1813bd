package abi

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// Arg is one argument of a C call.
type Arg struct {
	// In is what the library sent: the value, the string without its end, or what the pointer points at.
	In []byte
	// Cap is how many bytes may be written through the pointer; 0 for values.
	Cap int
	// Null says that the pointer is NULL; Required that it must not be.
	Null, Required bool
	// Out is what to write through the pointer.
	Out []byte
}

// Call is one C call of one client.
type Call struct {
	Name   string
	Args   []Arg
	Client *model.Client
	// Base and Size are the library's array of handles: handle n is the address Base+n. From Base+Size on there are StringsSize
	// bytes for strings that structures point at.
	Base, Size uint64
	// Strings are to be written there, by offset.
	Strings map[uint32][]byte

	ctx context.Context
	bad bool // an argument is not what the table expects
}

// StringsSize is the library's room for strings.
const StringsSize = 65536

// Handler answers one C function.
type Handler func(k *Call) model.Return

// Do answers the call. A function without a handler is checked like any other and then not supported.
func (k *Call) Do(ctx context.Context, table map[string]Handler) model.Return {
	k.ctx = model.WithSymbol(ctx, k.Name)
	h := table[k.Name]
	if h == nil {
		return k.unsupported()
	}
	for _, a := range k.Args {
		if a.Null && a.Required {
			if _, ret := k.Client.SystemGetDriverVersion(k.ctx); ret != model.Success {
				return ret // uninitialised, or this driver lacks the function
			}
			return model.InvalidArgument
		}
	}
	ret := h(k)
	if k.bad {
		ret = model.Unknown
	}
	if ret != model.Success && ret != model.InsufficientSize && k.Name != "nvmlDeviceSetMigMode" {
		for i := range k.Args {
			k.Args[i].Out = nil // a call that failed leaves its results alone
		}
	}
	return ret
}

// unsupported runs the checks that precede every call: of a GPU where the first argument is one.
func (k *Call) unsupported() model.Return {
	var ret model.Return
	if len(k.Args) > 0 && len(k.Args[0].In) == 8 {
		_, ret = k.Client.DeviceIsMigDeviceHandle(k.ctx, k.device(0))
	} else {
		_, ret = k.Client.SystemGetDriverVersion(k.ctx)
	}
	if ret != model.Success {
		return ret
	}
	return model.NotSupported
}

// arg gives an argument; one that was not sent spoils the call.
func (k *Call) arg(i int) *Arg {
	if i >= len(k.Args) {
		k.bad = true
		return &Arg{}
	}
	return &k.Args[i]
}

// in gives what was sent for an argument, which must have that size or more.
func (k *Call) in(i, size int) []byte {
	if a := k.arg(i); len(a.In) >= size {
		return a.In
	}
	k.bad = true
	return make([]byte, size)
}

func (k *Call) u32(i int) uint32  { return binary.LittleEndian.Uint32(k.in(i, 4)) }
func (k *Call) u64(i int) uint64  { return binary.LittleEndian.Uint64(k.in(i, 8)) }
func (k *Call) text(i int) string { return cstring(k.in(i, 0)) }

func cstring(b []byte) string {
	if n := bytes.IndexByte(b, 0); n >= 0 {
		b = b[:n]
	}
	return string(b)
}

// handle gives the number of an address; 0, which is no handle, for one outside the library's array.
func (k *Call) handle(address uint64) uint64 {
	if address < k.Base || address-k.Base >= k.Size {
		return 0
	}
	return address - k.Base
}

// address is what the client sees of a handle.
func (k *Call) address(handle uint64) uint64 {
	if handle == 0 || handle >= k.Size {
		return 0
	}
	return k.Base + handle
}

func (k *Call) device(i int) model.Device { return model.Device(k.handle(k.u64(i))) }
func (k *Call) gi(i int) model.GPUInstance {
	return model.GPUInstance(k.handle(k.u64(i)))
}

func (k *Call) ci(i int) model.ComputeInstance {
	return model.ComputeInstance(k.handle(k.u64(i)))
}

// put writes a value through pointer i: numbers in the pointer's width, everything else in its layout, which must fit exactly.
func (k *Call) put(i int, v any) {
	a := k.arg(i)
	if n, ok := number(v); ok && a.Cap <= 8 {
		a.Out = binary.LittleEndian.AppendUint64(nil, n)[:a.Cap]
		return
	}
	a.Out = k.layout(v)
	if len(a.Out) != a.Cap {
		k.bad = true
	}
}

// cut shortens what was put to an older structure's size.
func (k *Call) cut(i, size int) {
	if a := k.arg(i); len(a.Out) > size {
		a.Out = a.Out[:size]
	}
}

// putText writes a string with its end; InsufficientSize when it does not fit.
func (k *Call) putText(i int, s string) model.Return {
	a := k.arg(i)
	if len(s) >= a.Cap {
		return model.InsufficientSize
	}
	a.Out = append([]byte(s), 0)
	return model.Success
}

// number is a scalar as 64 bits.
func number(v any) (uint64, bool) {
	switch v := v.(type) {
	case uint32:
		return uint64(v), true
	case int32:
		return uint64(uint32(v)), true
	case int:
		return uint64(v), true
	case uint64:
		return v, true
	case model.Return:
		return uint64(v), true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}
