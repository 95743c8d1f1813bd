package sourcetest

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

// Truth is what one field of one entity is, in DCGM's classic unit.
type Truth struct {
	Entity gpu.Entity
	Field  gpu.Field
	Value  float64
	// Within is how far a reading may be off.
	Within float64
	Text   string
	// Nothing: the field does not exist for this entity, and a number would be a lie.
	Nothing bool
	// Profiling: only a source that profiles these GPUs knows it. Counted: one that does not may derive it from counters.
	Profiling, Counted bool
}

// reader asks the model and turns NVML's units into those of DCGM.
type reader struct {
	c    *model.Client
	ctx  context.Context //nolint:containedctx // lives for one look at the model
	d    model.Device
	e    gpu.Entity
	list []Truth
	err  error
}

func (r *reader) add(f gpu.Field, v, within float64) {
	r.list = append(r.list, Truth{Entity: r.e, Field: f, Value: v, Within: within})
}

func (r *reader) text(f gpu.Field, text string, ret model.Return) {
	r.check(f, ret)
	r.list = append(r.list, Truth{Entity: r.e, Field: f, Text: text})
}

func (r *reader) ratio(f gpu.Field, percent float64) {
	r.list = append(r.list, Truth{Entity: r.e, Field: f, Value: percent / 100, Within: 0.015, Profiling: true})
}

func (r *reader) number(f gpu.Field, scale, within float64) func(v uint32, ret model.Return) {
	return func(v uint32, ret model.Return) {
		r.check(f, ret)
		r.add(f, float64(v)*scale, within)
	}
}

func (r *reader) check(f gpu.Field, ret model.Return) {
	if ret != model.Success && r.err == nil {
		r.err = fmt.Errorf("the model says %w for field %d", ret, f)
	}
}

// truth is what is true now of all three entities.
func (s *Stage) truth(ctx context.Context) ([]Truth, error) {
	whole := &reader{c: s.client, ctx: ctx, e: s.Whole().Whole()}
	whole.open(string(s.Whole()))
	whole.board(s.status.Driver)
	whole.memory()
	whole.units(wholeLevel)
	whole.faults()

	divided := &reader{c: s.client, ctx: ctx, e: s.Divided().Whole()}
	divided.open(string(s.Divided()))
	divided.number(family.PowerUsage, 1e-3, 3)(s.client.DeviceGetPowerUsage(ctx, divided.d))
	divided.list = append(divided.list, Truth{Entity: divided.e, Field: family.GPUUtil, Nothing: true})

	out, err := slices.Concat(whole.list, divided.list), whole.err
	for i, ref := range s.Instances() {
		in := &reader{c: s.client, ctx: ctx, e: gpu.Entity{GPU: s.Divided(), Instance: ref.ID}}
		in.open(string(ref.MIG))
		in.memory()
		in.profiled(float64(busyLevel * (1 - i)))
		out = append(out, in.list...)
		if err == nil {
			err = in.err
		}
	}
	return out, err
}

func (r *reader) open(uuid string) {
	d, ret := r.c.DeviceGetHandleByUUID(r.ctx, uuid)
	if ret != model.Success {
		r.err = fmt.Errorf("the model has no %s: %w", uuid, ret)
	}
	r.d = d
}

// board is what is of a GPU as a whole.
func (r *reader) board(driver string) {
	c, ctx, d := r.c, r.ctx, r.d
	r.text(family.DriverVersion, driver, model.Success)
	serial, ret := c.DeviceGetSerial(ctx, d)
	r.text(53, serial, ret)
	vbios, ret := c.DeviceGetVbiosVersion(ctx, d)
	r.text(85, vbios, ret)
	r.number(family.SMClock, 1, 0)(c.DeviceGetClockInfo(ctx, d, 1))
	r.number(family.MemClock, 1, 0)(c.DeviceGetClockInfo(ctx, d, 2))
	r.number(113, 1, 0)(c.DeviceGetMaxClockInfo(ctx, d, 1))
	r.number(family.PowerUsage, 1e-3, 3)(c.DeviceGetPowerUsage(ctx, d))
	r.number(family.PowerInstant, 1e-3, 3)(c.DeviceGetPowerUsage(ctx, d))
	r.number(160, 1e-3, 0.1)(c.DeviceGetPowerManagementLimit(ctx, d))
	r.number(164, 1e-3, 0.1)(c.DeviceGetEnforcedPowerLimit(ctx, d))
	r.number(190, 1, 0)(c.DeviceGetPerformanceState(ctx, d))
	r.number(237, 1, 0)(c.DeviceGetCurrPcieLinkGeneration(ctx, d))
	r.number(238, 1, 0)(c.DeviceGetCurrPcieLinkWidth(ctx, d))
	r.number(202, 1, 0)(c.DeviceGetPcieReplayCounter(ctx, d))
	core, ret := c.DeviceGetTemperature(ctx, d, 0)
	r.check(family.GPUTemp, ret)
	r.add(family.GPUTemp, float64(core), 3)
	energy, ret := c.DeviceGetTotalEnergyConsumption(ctx, d)
	r.check(family.TotalEnergy, ret)
	r.add(family.TotalEnergy, float64(energy), 3*1000*1000) // 3 s of 1 kW
}

// memory is in MiB, without what the driver reserves for itself.
func (r *reader) memory() {
	const mib = 1 << 20
	m, ret := r.c.DeviceGetMemoryInfoV2(r.ctx, r.d)
	r.check(family.FBUsed, ret)
	r.add(family.FBTotal, math.Round(float64(m.Total)/mib), 1)
	r.add(family.FBFree, math.Round(float64(m.Free)/mib), 1)
	r.add(family.FBUsed, math.Round(float64(m.Used)/mib), 1)
	r.add(family.FBReserved, math.Round(float64(m.Reserved)/mib), 1)
	r.add(254, float64(m.Used)/float64(m.Total-m.Reserved), 0.002)
}

// units are those that only a whole GPU measures, and the profiled ones. The load says what they are.
func (r *reader) units(level float64) {
	m := mix()
	r.add(family.GPUUtil, level, 1)
	r.add(204, level*m.DRAM, 1)
	r.add(206, level*m.Encoder, 1)
	r.add(207, level*m.Decoder, 1)
	r.profiled(level)
	for f, counter := range map[gpu.Field]uint32{1009: 0, 1010: 1} {
		kilobytes, ret := r.c.DeviceGetPcieThroughput(r.ctx, r.d, counter)
		r.check(f, ret)
		v := float64(kilobytes) * 1000
		r.list = append(r.list, Truth{Entity: r.e, Field: f, Value: v, Within: 0.03 * v, Profiling: true, Counted: true})
	}
}

func (r *reader) profiled(level float64) {
	m := mix()
	r.ratio(family.GREngine, level)
	r.ratio(1002, level)
	r.ratio(1003, level/2)
	r.ratio(1004, level*m.Tensor)
	r.ratio(1005, level*m.DRAM)
	r.ratio(1006, level*m.FP64)
	r.ratio(1007, level*m.FP32)
	r.ratio(1008, level*m.FP16)
}

// faults are those that Set made.
func (r *reader) faults() {
	r.add(310, 3, 0) // corrected errors
	r.add(311, 0, 0)
	r.add(393, 1, 0)
	r.add(394, 2, 0)
	r.add(395, 0, 0)
	r.add(396, 0, 0)
	r.add(family.Recovery, float64(gpu.RecoveryDrainAndReset), 0)
	r.add(family.PowerViolation, 0, 0)
}
