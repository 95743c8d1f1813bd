package dcgm

import (
	"encoding/binary"
	"math"
)

// What is inside the library's frames, little-endian: numbers as they are, strings behind their length in 32 bits.

// reader takes a request apart; short says that it ended too early.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.short = true
		return make([]byte, max(0, min(n, 8)))
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) u32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

func (r *reader) text() string { return string(r.take(int(r.u32()))) }

// fields are numbers behind their count.
func (r *reader) fields() []uint16 {
	n := r.u32()
	if uint64(n)*4 > uint64(len(r.b)) {
		r.short = true
		return nil
	}
	out := make([]uint16, n)
	for i := range out {
		out[i] = uint16(r.u32())
	}
	return out
}

// pairs are entities behind their count.
func (r *reader) pairs() []pair {
	n := r.u32()
	if uint64(n)*8 > uint64(len(r.b)) {
		r.short = true
		return nil
	}
	out := make([]pair, n)
	for i := range out {
		out[i] = pair{Group(r.u32()), r.u32()}
	}
	return out
}

// pair is dcgmGroupEntityPair_t.
type pair struct {
	group Group
	id    uint32
}

// writer builds an answer.
type writer struct{ b []byte }

func (w *writer) u32(values ...uint32) {
	for _, v := range values {
		w.b = binary.LittleEndian.AppendUint32(w.b, v)
	}
}

func (w *writer) u64(values ...uint64) {
	for _, v := range values {
		w.b = binary.LittleEndian.AppendUint64(w.b, v)
	}
}

func (w *writer) text(s string) {
	w.u32(uint32(len(s)))
	w.b = append(w.b, s...)
}

// value is a sample of an entity, as the library turns it into dcgmFieldValue_v1 and _v2.
func (w *writer) value(e pair, id uint16, v Value) {
	w.u32(uint32(e.group), e.id, uint32(id), uint32(v.Type), uint32(v.Status))
	w.u64(uint64(v.TS))
	switch v.Type {
	case String:
		w.text(v.Text)
	case Double:
		w.u32(8)
		w.u64(math.Float64bits(v.Float))
	default:
		w.u32(8)
		w.u64(uint64(v.Int))
	}
}
