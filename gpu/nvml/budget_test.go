package nvml_test

import (
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// Under the schedule of the exporter's loops a busy GPU or GPU instance costs at most 6 calls of the driver a second.
func TestBudget(t *testing.T) {
	for _, node := range []string{"hgx-h100 550.54.15", "hgx-h100 580.65.06", "dgx-a100 550.54.15", "t4x4 470.256.02"} {
		t.Run(node, func(t *testing.T) {
			t.Parallel()
			simulated(t, node, "TestChildBudget")
		})
	}
}

// loops are what is exported by default and always: fast each second, process each 2, slow each 15, those that are due together.
func loops(tel gpu.Telemetry, refs []gpu.InstanceRef, second int) error {
	ask := gpu.Ask{Whole: []gpu.Field{155, 156, 157, 203, 204, 449, 1091, 1092}, Instances: refs}
	entity := []gpu.Field{250, 251, 252, 253}
	if second%2 == 0 {
		ask.Whole = append(ask.Whole, 100, 1009, 1010)
		entity = append(entity, 1001, 1002, 1004, 1005)
	}
	if second%15 == 0 {
		ask.Whole = append(ask.Whole, 101, 140, 150, 202, 206, 207, 240, 241, 393, 394, 395, 1420, 1422, 1523)
	}
	if refs == nil {
		ask.Whole = append(ask.Whole, entity...)
	} else {
		ask.Instance = entity
	}
	_, err := tel.Read(ask)
	if err == nil && second%2 == 0 {
		_, err = tel.Use()
	}
	return err
}

func TestChildBudget(t *testing.T) {
	b := start(t, false)
	ctx := t.Context()
	for range 3 {
		b.process(sim.Whole(0), model.ProcessSpec{Memory: 1 << 30, SM: 25})
	}
	_, tel := b.gpu(0)
	b.within(tel, nil, 1)
	if b.sim.SetMIG(ctx, 1, true) != nil {
		return
	}
	var refs []gpu.InstanceRef
	for range 7 {
		refs = append(refs, b.create(1, "1g.10gb"))
		b.process(sim.In(1, refs[len(refs)-1].ID), model.ProcessSpec{Memory: 1 << 30, SM: 50})
	}
	_, tel = b.gpu(1)
	b.within(tel, refs, 8)
}

// within measures a minute.
func (b *bench) within(tel gpu.Telemetry, refs []gpu.InstanceRef, entities int) {
	b.Helper()
	for second := range 20 { // what a GPU does not have is learned
		b.must(loops(tel, refs, second))
		b.clock.pass(time.Second)
	}
	const seconds = 60
	n, each := b.calls(func() {
		for second := range seconds {
			b.must(loops(tel, refs, second))
			b.clock.pass(time.Second)
		}
	})
	rate := float64(n) / seconds / float64(entities)
	b.Logf("%d entities: %.2f calls a second of each: %v", entities, rate, each)
	if rate > 6 {
		b.Errorf("%.2f calls a second of each of %d entities", rate, entities)
	}
}
