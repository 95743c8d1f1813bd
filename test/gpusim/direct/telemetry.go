package direct

import (
	"context"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

// Telemetry measures nothing, but it holds the GPU as the real one does: by a GPM sample from the first Read on.
func (v *device) Telemetry() gpu.Telemetry { return &telemetry{v: v} }

type telemetry struct {
	v    *device
	held model.GpmSample // 0: none
}

// Read answers that nothing is supported; the GPU must answer all the same.
func (t *telemetry) Read(ask gpu.Ask) ([]gpu.Reading, error) {
	v := t.v
	var uuid string
	err := v.d.call("nvmlDeviceGetUUID", func(ctx context.Context, c *model.Client) (ret model.Return) {
		uuid, ret = c.DeviceGetUUID(ctx, v.h)
		return ret
	})
	if err != nil {
		return nil, err
	}
	if err := t.hold(); err != nil {
		return nil, err
	}
	var out []gpu.Reading
	add := func(instance uint32, fields []gpu.Field) {
		for _, f := range fields {
			out = append(out, gpu.Reading{
				Entity: gpu.Entity{GPU: gpu.UUID(uuid), Instance: instance}, Field: f, At: time.Now(),
				Absent: &gpu.Absence{Code: gpu.NotSupported, Text: "this driver measures nothing"},
			})
		}
	}
	add(gpu.NoInstance, ask.Whole)
	for _, in := range ask.Instances {
		add(in.ID, ask.Instance)
	}
	return out, nil
}

// hold takes a sample, where the GPU has them.
func (t *telemetry) hold() error {
	if t.held != 0 {
		return nil
	}
	v, supported := t.v, false
	err := v.d.call("nvmlGpmQueryDeviceSupport", func(ctx context.Context, c *model.Client) (ret model.Return) {
		supported, ret = c.GpmQueryDeviceSupport(ctx, v.h)
		return ret
	})
	if absent(err) || err == nil && !supported {
		return nil
	}
	if err != nil {
		return err
	}
	err = v.d.call("nvmlGpmSampleAlloc", func(ctx context.Context, c *model.Client) (ret model.Return) {
		t.held, ret = c.GpmSampleAlloc(ctx)
		return ret
	})
	if err != nil {
		return err
	}
	return v.d.call("nvmlGpmSampleGet", func(ctx context.Context, c *model.Client) model.Return { return c.GpmSampleGet(ctx, v.h, t.held) })
}

// Use lists the processes; what they do is not measured.
func (t *telemetry) Use() ([]gpu.ProcessUse, error) {
	holders, err := t.v.Processes()
	var out []gpu.ProcessUse
	for _, h := range holders {
		out = append(out, gpu.ProcessUse{Holder: h})
	}
	return out, err
}

// Release gives the sample back.
func (t *telemetry) Release() error {
	if t.held == 0 {
		return nil
	}
	sample := t.held
	t.held = 0
	return t.v.d.call("nvmlGpmSampleFree", func(ctx context.Context, c *model.Client) model.Return { return c.GpmSampleFree(ctx, sample) })
}
