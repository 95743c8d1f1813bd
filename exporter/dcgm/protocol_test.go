package dcgm

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/gpu"
)

// What is packed comes out the same behind a frame.
func TestFramesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		readings := rapid.SliceOf(rapid.Custom(func(t *rapid.T) gpu.Reading {
			r := gpu.Reading{
				Entity: gpu.Entity{GPU: gpu.UUID(rapid.SampledFrom([]string{"GPU-1", "GPU-2"}).Draw(t, "gpu")), Instance: rapid.Uint32().Draw(t, "instance")},
				Field:  gpu.Field(rapid.Uint16().Draw(t, "field")), At: time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(t, "at")),
			}
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				r.Value = rapid.Float64().Draw(t, "value")
			case 1:
				r.Text = rapid.String().Draw(t, "text")
			default:
				r.Absent = &gpu.Absence{Code: gpu.NotSupported, Text: "no"}
			}
			return r
		})).Draw(t, "readings")
		for i := range readings { // JSON replaces what is no UTF-8
			readings[i].Text = strings.ToValidUTF8(readings[i].Text, "\ufffd")
		}
		var b bytes.Buffer
		if err := writeFrame(&b, answer{Parts: []part{{ID: 1, columns: pack(readings)}}}); err != nil {
			t.Fatal(err)
		}
		var a answer
		if err := readFrame(&b, &a); err != nil {
			t.Fatal(err)
		}
		got, err := a.Parts[0].unpack()
		if err != nil || len(got) != len(readings) || len(got) > 0 && !reflect.DeepEqual(got, readings) {
			t.Fatalf("%+v, %v; want %+v", got, err, readings)
		}
	})
}

func TestBadFrames(t *testing.T) {
	for name, text := range map[string]string{
		"text":            "DCGM started\n",
		"a length of 0":   "\x00\x00\x00\x00",
		"too long":        "\x7f\xff\xff\xff{}",
		"not JSON":        "\x00\x00\x00\x02ab",
		"of another kind": "\x00\x00\x00\x02[]",
	} {
		var a answer
		if err := readFrame(strings.NewReader(text), &a); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var a answer
	if err := readFrame(strings.NewReader("\x00\x00\x00\x09{}"), &a); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut off: %v", err)
	}
	for name, c := range map[string]columns{
		"columns that differ": {Entities: make([]gpu.Entity, 1), Of: []int{0}},
		"no such entity":      {Of: []int{0}, Field: []gpu.Field{1}, Value: []float64{1}, At: []int64{1}},
		"a negative entity":   {Entities: make([]gpu.Entity, 1), Of: []int{-1}, Field: []gpu.Field{1}, Value: []float64{1}, At: []int64{1}},
	} {
		if got, err := c.unpack(); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Whatever a worker writes, the agent neither panics nor takes over a reason that is none.
func FuzzAnswer(f *testing.F) {
	var b bytes.Buffer
	_ = writeFrame(&b, answer{Version: 1, Parts: []part{{ID: 3, columns: pack([]gpu.Reading{
		{Entity: gpu.UUID("GPU-1").Whole(), Field: 155, Value: 300}, {Field: 203, Absent: &gpu.Absence{Code: gpu.Stale, Text: "old"}},
	})}}})
	f.Add(b.Bytes())
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a answer
		if readFrame(bytes.NewReader(data), &a) != nil {
			return
		}
		for _, p := range a.Parts {
			readings, err := p.unpack()
			if err != nil {
				continue
			}
			for _, r := range readings {
				if r.Absent != nil && (*knownAbsence(*r.Absent) != *r.Absent || r.Value != 0) {
					t.Errorf("%+v", r)
				}
			}
		}
	})
}
