package apply

import (
	"context"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// call makes one call to the hardware, with its deadline, and measures it.
func call[T any](ctx context.Context, e *Executor, name string, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.CallTimeout)
	defer cancel()
	began := time.Now()
	v, err := f(ctx)
	e.metrics.calls.WithLabelValues(name).Observe(time.Since(began).Seconds())
	return v, err
}

func (e *Executor) layout(ctx context.Context, uuid gpu.UUID) (gpu.Layout, *RefusalError) {
	l, err := call(ctx, e, "layout", func(ctx context.Context) (gpu.Layout, error) { return e.cfg.Hardware.Layout(ctx, uuid) })
	if err != nil {
		return gpu.Layout{}, failed(ctx, err, "%s does not say how it is divided", e.name(uuid))
	}
	return l, nil
}

func (e *Executor) holders(ctx context.Context, uuid gpu.UUID) ([]gpu.Holder, error) {
	return call(ctx, e, "holders", func(ctx context.Context) ([]gpu.Holder, error) { return e.cfg.Hardware.Holders(ctx, uuid) })
}

func (e *Executor) createInstance(ctx context.Context, uuid gpu.UUID, slot mig.Slot) (uint32, error) {
	return call(ctx, e, "create-instance", func(ctx context.Context) (uint32, error) {
		return e.cfg.Hardware.CreateInstance(ctx, uuid, slot)
	})
}

func (e *Executor) createCompute(ctx context.Context, uuid gpu.UUID, instance uint32) (gpu.ComputeInstance, error) {
	return call(ctx, e, "create-compute", func(ctx context.Context) (gpu.ComputeInstance, error) {
		return e.cfg.Hardware.CreateCompute(ctx, uuid, instance)
	})
}

func (e *Executor) setMode(ctx context.Context, uuid gpu.UUID, on bool) (gpu.Activation, error) {
	return call(ctx, e, "set-mode", func(ctx context.Context) (gpu.Activation, error) { return e.cfg.Hardware.SetMode(ctx, uuid, on) })
}

// find is the instance at a slot; nil when there is none.
func find(l gpu.Layout, slot mig.Slot) *gpu.Instance {
	for i := range l.Instances {
		if l.Instances[i].Slot == slot {
			return &l.Instances[i]
		}
	}
	return nil
}
