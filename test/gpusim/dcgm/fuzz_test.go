package dcgm

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
)

// FuzzCall: whatever bytes a client sends for a function, the engine answers and lives.
func FuzzCall(f *testing.F) {
	shape, err := shapes.Load("dgx-a100")
	if err != nil {
		f.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(calls()))
	for i := range names {
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), []byte{1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 203, 0, 0, 0, 1, 0, 0, 0})
		f.Add(uint8(i), []byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF})
	}
	f.Fuzz(func(t *testing.T, which uint8, in []byte) {
		node, err := model.New(shape, model.Options{Clock: &hand{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}})
		if err != nil {
			t.Fatal(err)
		}
		e := New(t.Context(), Config{Node: node, Faults: &Faults{}})
		defer e.Close()
		s := e.Session()
		defer s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond) // some wait for what never comes
		defer cancel()
		s.Call(ctx, names[int(which)%len(names)], in)
		e.cycle(t.Context())
	})
}
