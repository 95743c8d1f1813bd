package daemon

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/gpulet/gpulet/test/gpusim/abi"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

// The library's frames; lib/c/sim.c says how they are laid out.

const (
	none     = 0xFFFFFFFF
	text     = 0xFFFFFFFE
	maxFrame = 16 << 20
)

var errFrame = errors.New("malformed frame")

func readFrame(r *bufio.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(head[:])
	if size > maxFrame {
		return nil, fmt.Errorf("%w: %d bytes", errFrame, size)
	}
	frame := make([]byte, size)
	_, err := io.ReadFull(r, frame)
	return frame, err
}

// parse splits a request into name and arguments.
func parse(frame []byte) (name string, args []abi.Arg, err error) {
	le := binary.LittleEndian
	if len(frame) < 4 {
		return "", nil, errFrame
	}
	length, count := int(le.Uint16(frame)), int(le.Uint16(frame[2:]))
	frame = frame[4:]
	if len(frame) < length {
		return "", nil, errFrame
	}
	name, frame = string(frame[:length]), frame[length:]
	args = make([]abi.Arg, count)
	for i := range args {
		if len(frame) < 8 {
			return "", nil, errFrame
		}
		in, room := le.Uint32(frame), le.Uint32(frame[4:])
		frame = frame[8:]
		if in == none {
			args[i] = abi.Arg{Null: true, Required: room == none}
			continue
		}
		if uint64(in) > uint64(len(frame)) || room > maxFrame {
			return "", nil, errFrame
		}
		args[i] = abi.Arg{In: frame[:in:in], Cap: int(room)}
		frame = frame[in:]
	}
	return name, args, nil
}

func answer(ret model.Return, args []abi.Arg, strings map[uint32][]byte) []byte {
	le := binary.LittleEndian
	out := le.AppendUint32(make([]byte, 4, 128), uint32(ret))
	for i, a := range args {
		if len(a.Out) > 0 {
			out = le.AppendUint32(out, uint32(i))
			out = le.AppendUint32(out, uint32(len(a.Out)))
			out = append(out, a.Out...)
		}
	}
	for at, data := range strings {
		out = le.AppendUint32(out, text)
		out = le.AppendUint32(out, uint32(4+len(data)))
		out = le.AppendUint32(out, at)
		out = append(out, data...)
	}
	le.PutUint32(out, uint32(len(out)-4))
	return out
}
