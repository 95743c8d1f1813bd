package daemon

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/gpulet/gpulet/test/gpusim/abi"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
)

// request writes a frame without its size, as the library does.
func request(name string, args ...abi.Arg) []byte {
	le := binary.LittleEndian
	out := le.AppendUint16(nil, uint16(len(name)))
	out = le.AppendUint16(out, uint16(len(args)))
	out = append(out, name...)
	for _, a := range args {
		switch {
		case a.Null && a.Required:
			out = le.AppendUint32(le.AppendUint32(out, none), none)
		case a.Null:
			out = le.AppendUint32(le.AppendUint32(out, none), 0)
		default:
			out = append(le.AppendUint32(le.AppendUint32(out, uint32(len(a.In))), uint32(a.Cap)), a.In...)
		}
	}
	return out
}

// Whatever a client sends, no call panics, and what is read is what was written.
func FuzzCall(f *testing.F) {
	shape, err := shapes.Load("hgx-h100")
	if err != nil {
		f.Fatal(err)
	}
	node, err := model.New(shape, model.Options{})
	if err != nil {
		f.Fatal(err)
	}
	handle := binary.LittleEndian.AppendUint64(nil, 1<<20+1)
	number := []byte{1, 0, 0, 0}
	for name := range abi.Table() {
		f.Add(request(name, abi.Arg{In: handle}, abi.Arg{In: number, Cap: 8}, abi.Arg{In: number, Cap: 64}, abi.Arg{In: number, Cap: 4}))
		f.Add(request(name, abi.Arg{Null: true, Required: true}))
		f.Add(request(name))
	}
	table := abi.Table()
	delete(table, "nvmlEventSetWait") // they wait
	delete(table, "nvmlEventSetWait_v2")
	f.Fuzz(func(t *testing.T, frame []byte) {
		name, args, err := parse(frame)
		if err != nil {
			return
		}
		if again := request(name, args...); !bytes.HasPrefix(frame, again) {
			for _, a := range args {
				if a.Null {
					return // a NULL's second word is read as a flag
				}
			}
			t.Errorf("%x is read as %x", frame, again)
		}
		c := node.Connect(model.Caller{})
		defer c.Close()
		_ = c.InitWithFlags(t.Context(), 0)
		k := abi.Call{Name: name, Args: args, Client: c, Base: 1 << 20, Size: 1 << 20}
		ret := k.Do(t.Context(), table)
		if _, err := readFrame(bufio.NewReader(bytes.NewReader(answer(ret, k.Args, k.Strings)))); err != nil {
			t.Error(err)
		}
	})
}
