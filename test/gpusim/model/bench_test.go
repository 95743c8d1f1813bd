package model_test

import (
	"testing"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
)

// BenchmarkCall is the model's own cost of a call, which adds to the wire's.
func BenchmarkCall(b *testing.B) {
	s, err := shapes.Load("dgx-a100")
	if err != nil {
		b.Fatal(err)
	}
	n, err := model.New(s, model.Options{})
	if err != nil {
		b.Fatal(err)
	}
	c := n.Connect(model.Caller{})
	defer c.Close()
	ctx := b.Context()
	_ = c.InitWithFlags(ctx, 0)
	d, ret := c.DeviceGetHandleByIndex(ctx, 0)
	if ret != model.Success {
		b.Fatal(ret)
	}
	for name, call := range map[string]func(){
		"uuid":        func() { _, _ = c.DeviceGetUUID(ctx, d) },
		"memory":      func() { _, _ = c.DeviceGetMemoryInfo(ctx, d) },
		"utilization": func() { _, _ = c.DeviceGetUtilizationRates(ctx, d) },
		"fields":      func() { _, _ = c.DeviceGetFieldValues(ctx, d, make([]model.FieldValue, 16)) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				call()
			}
		})
	}
}
