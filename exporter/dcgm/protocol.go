package dcgm

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// protocolVersion is that of the frames below. Both ends are the same program, unless its file was replaced under a running agent.
const protocolVersion = 1

// maxFrame bounds one frame, in bytes: 32 GPUs in 8 instances each with 128 fields are about 3 MiB.
const maxFrame = 16 << 20

// verb is what the worker shall do.
type verb string

const (
	verbConnect verb = "connect" // to the engine, anew if it is; answers the versions
	verbWatch   verb = "watch"   // Fields from now on, as often as Fast says
	verbRead    verb = "read"    // answers Parts
	verbDetach  verb = "detach"  // the engine gives up its handles of all GPUs, until the next connect with Attach
)

// request is one line of the agent; there is one at a time.
type request struct {
	Version int    `json:"version"`
	Seq     uint64 `json:"seq"`
	Do      verb   `json:"do"`
	place
	Host   string        `json:"host,omitempty"`
	Memory uint64        `json:"memory,omitempty"`
	Fast   time.Duration `json:"fast,omitempty"`
	Attach bool          `json:"attach,omitempty"`
	Fields []gpu.Field   `json:"fields,omitempty"`
}

// answer is what the worker says to one request.
type answer struct {
	Version int    `json:"version"`
	Seq     uint64 `json:"seq"`
	// Problem says why the request failed.
	Problem *gpu.Absence `json:"problem,omitempty"`
	// Lost: the engine is gone, and only a connect helps.
	Lost bool `json:"lost,omitempty"`
	// Library and Engine are the versions, after a connect.
	Library string `json:"library,omitempty"`
	Engine  string `json:"engine,omitempty"`
	Parts   []part `json:"parts,omitempty"`
}

// part are the readings of fields that are read together. A part that was not due is Same: as it was in an earlier answer.
// Parts that are not in an answer are gone.
type part struct {
	ID   int  `json:"id"`
	Same bool `json:"same,omitempty"`
	columns
}

// columns are readings by column: row i is of the entity Entities[Of[i]].
type columns struct {
	Entities []gpu.Entity        `json:"entities,omitempty"`
	Of       []int               `json:"of,omitempty"`
	Field    []gpu.Field         `json:"field,omitempty"`
	Value    []float64           `json:"value,omitempty"`
	At       []int64             `json:"at,omitempty"` // µs since 1970
	Text     map[int]string      `json:"text,omitempty"`
	Absent   map[int]gpu.Absence `json:"absent,omitempty"`
}

// pack turns readings into columns.
func pack(readings []gpu.Reading) columns {
	c := columns{Text: map[int]string{}, Absent: map[int]gpu.Absence{}}
	index := map[gpu.Entity]int{}
	for i, r := range readings {
		of, ok := index[r.Entity]
		if !ok {
			of = len(c.Entities)
			index[r.Entity] = of
			c.Entities = append(c.Entities, r.Entity)
		}
		c.Of, c.Field = append(c.Of, of), append(c.Field, r.Field)
		c.Value, c.At = append(c.Value, r.Value), append(c.At, r.At.UnixMicro())
		if r.Text != "" {
			c.Text[i] = r.Text
		}
		if r.Absent != nil {
			c.Absent[i] = *r.Absent
		}
	}
	return c
}

// unpack is the reverse, and refuses what does not fit together.
func (c columns) unpack() ([]gpu.Reading, error) {
	n := len(c.Of)
	if len(c.Field) != n || len(c.Value) != n || len(c.At) != n {
		return nil, errors.New("its columns differ in length")
	}
	out := make([]gpu.Reading, n)
	for i := range out {
		if c.Of[i] < 0 || c.Of[i] >= len(c.Entities) {
			return nil, fmt.Errorf("row %d is of no entity", i)
		}
		out[i] = gpu.Reading{Entity: c.Entities[c.Of[i]], Field: c.Field[i], Value: c.Value[i], Text: c.Text[i], At: time.UnixMicro(c.At[i])}
		if a, ok := c.Absent[i]; ok {
			out[i].Absent, out[i].Value = knownAbsence(a), 0
		}
	}
	return out, nil
}

// knownAbsence holds the reasons to the few that there are: they become label values.
func knownAbsence(a gpu.Absence) *gpu.Absence {
	switch a.Code {
	case gpu.NotSupported, gpu.NoFunction, gpu.NoPermission, gpu.NoData, gpu.NoSource, gpu.Stale, gpu.Lost, gpu.NoAnswer, gpu.Failed:
	default:
		a.Code = gpu.Failed
	}
	return &a
}

// writeFrame writes v as JSON behind its length, four bytes big endian.
func writeFrame(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write a frame: %w", err)
	}
	if len(body) > maxFrame {
		return fmt.Errorf("write a frame: %d bytes are more than %d", len(body), maxFrame)
	}
	if _, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)); err != nil {
		return fmt.Errorf("write a frame: %w", err)
	}
	return nil
}

// errFrame: what came is no frame.
var errFrame = errors.New("not a frame of this protocol")

// readFrame reads what writeFrame wrote. io.EOF means that the other end closed between two frames.
func readFrame(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err //nolint:wrapcheck // io.EOF is told apart by callers
	}
	size := binary.BigEndian.Uint32(head[:])
	if size == 0 || size > maxFrame {
		return fmt.Errorf("%w: it begins with %q", errFrame, head[:])
	}
	// The length is not trusted with memory before its bytes are there.
	body, err := io.ReadAll(io.LimitReader(r, int64(size)))
	if err != nil {
		return fmt.Errorf("read a frame: %w", err)
	}
	if len(body) < int(size) {
		return fmt.Errorf("read a frame: %w", io.ErrUnexpectedEOF)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	return nil
}
