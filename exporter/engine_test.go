package exporter

import (
	"slices"
	"testing"
	"time"

	"github.com/gpulet/gpulet/exporter/dcgm"
	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/gpu"
)

func ampere() gpu.Absence {
	return gpu.Absence{Code: gpu.NotSupported, Text: "profiling without DCGM needs Hopper or newer"}
}

// DCGM is wanted for what NVML cannot have, and for nothing else.
func TestWants(t *testing.T) {
	for _, c := range []struct {
		name     string
		choice   SourceChoice
		absent   map[gpu.Field]gpu.Absence
		want, no []gpu.Field
	}{
		{"auto, NVML has all", Auto, nil, nil, []gpu.Field{family.GPUUtil, family.GREngine}},
		{"auto, before Hopper", Auto, map[gpu.Field]gpu.Absence{family.GREngine: ampere(), 203: {Code: gpu.NotSupported, Text: "MIG"}, 252: {Code: gpu.NoPermission, Text: "no"}}, []gpu.Field{family.GREngine}, []gpu.Field{203, 252}},
		{"auto, an old driver", Auto, map[gpu.Field]gpu.Absence{140: {Code: gpu.NoFunction, Text: "old"}}, []gpu.Field{140}, nil},
		{"nvml", NVML, map[gpu.Field]gpu.Absence{family.GREngine: ampere()}, nil, []gpu.Field{family.GREngine}},
		{"dcgm", OnlyDCGM, nil, []gpu.Field{family.GPUUtil, family.GREngine, 526}, []gpu.Field{family.XIDErrors}},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, func(t *testing.T) {
				r := newRig(t, whole(0))
				s := defaults()
				s.Source = c.choice
				r.settings.Set(s)
				for f, a := range c.absent {
					r.driver.absent[f] = a
				}
				r.run(t)
				after(10 * time.Second)
				asked := r.engine.asked()
				for _, f := range c.want {
					if !slices.Contains(asked, f) {
						t.Errorf("%d is not wanted: %v", f, asked)
					}
				}
				for _, f := range c.no {
					if slices.Contains(asked, f) {
						t.Errorf("%d is wanted", f)
					}
				}
				if r.engine.wants != 1 {
					t.Errorf("DCGM was told %d times", r.engine.wants)
				}
			})
		})
	}
}

// The engine dies: what only it has goes within three periods, for its reason, and comes back by itself. The rest does not notice.
func TestEngineDiesAndReturns(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0))
		r.driver.absent[family.GREngine] = ampere()
		r.run(t)
		e := uuid(0).Whole()
		r.lacks(e, family.GREngine, gpu.NoSource)
		for range 5 {
			r.engine.tell(of(e, family.GREngine, 0.7), of(e, family.GPUUtil, 1))
			after(time.Second)
			r.has(e, family.GREngine, 0.7)
			r.has(e, family.GPUUtil, 203)
		}
		if s := r.source(dcgmSource); s.Unused || s.Reason != "" || s.Latency.Counts[2] != 5 {
			t.Errorf("%+v", s)
		}
		last, _ := r.engine.feed.Get()
		r.engine.feed.Set(&dcgm.Batch{At: time.Now(), Readings: last.Readings, State: dcgm.State{Wanted: true, Reason: "the host engine is gone", Code: gpu.Lost, Restarts: 1}})
		after(time.Second)
		r.has(e, family.GREngine, 0.7)
		after(6 * time.Second) // three periods of 2 s
		r.lacks(e, family.GREngine, gpu.Lost)
		r.has(e, family.GPUUtil, 203)
		s := r.source(dcgmSource)
		if s.Stale != 1 || s.Reason != "the host engine is gone" || s.Errors[gpu.Lost] != 1 || s.Restarts != 1 {
			t.Errorf("%+v", s)
		}
		after(time.Minute)
		if n := r.source(dcgmSource).Stale; n != 1 {
			t.Errorf("one value was dropped, %d are counted", n)
		}
		r.engine.tell(of(e, family.GREngine, 0.3))
		after(time.Second)
		r.has(e, family.GREngine, 0.3)
	})
}

// A field that stands still in a living engine is stale, and counted once.
func TestStaleField(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0))
		r.driver.absent[family.GREngine], r.driver.absent[1004] = ampere(), ampere()
		r.run(t)
		e := uuid(0).Whole()
		stuck := of(e, 1004, 0.5)
		for range 8 {
			r.engine.tell(of(e, family.GREngine, 0.7), stuck)
			after(time.Second)
		}
		r.has(e, family.GREngine, 0.7)
		r.lacks(e, 1004, gpu.Stale)
		if n := r.source(dcgmSource).Stale; n != 1 {
			t.Errorf("%d are counted as stale", n)
		}
	})
}

// With the source dcgm, DCGM's value counts, and NVML stands in for what it has not.
func TestDCGMFirst(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0))
		s := defaults()
		s.Source = OnlyDCGM
		r.settings.Set(s)
		r.run(t)
		e := uuid(0).Whole()
		r.has(e, family.GPUUtil, 203)
		blank := of(e, family.PowerUsage, 0)
		blank.Absent = &gpu.Absence{Code: gpu.NotSupported, Text: "blank"}
		r.engine.tell(of(e, family.GPUUtil, 42), blank)
		after(time.Second)
		r.has(e, family.GPUUtil, 42)
		r.has(e, family.PowerUsage, 155)
		if v, _ := r.value(e, family.GPUUtil); v.Source != dcgmSource {
			t.Errorf("its source is %s", v.Source)
		}
		after(5 * time.Second)
		r.has(e, family.GPUUtil, 203)
	})
}

// A new layout is read a moment after it is known. DCGM goes on meanwhile: it would have to begin anew.
func TestLayoutChangeKeepsDCGM(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, divided(0, 1, 0))
		r.driver.absent[family.GREngine] = ampere()
		r.run(t)
		after(5 * time.Second)
		told := r.engine.wants
		r.driver.do(func() { r.driver.slow = 800 * time.Millisecond })
		for serial := range 3 {
			r.layout(divided(0, 1, serial+1))
			after(5 * time.Second)
		}
		if r.engine.wants != told || !slices.Contains(r.engine.asked(), family.GREngine) {
			t.Errorf("DCGM was told %d times more, and is asked for %v", r.engine.wants-told, r.engine.asked())
		}
	})
}

// A call that fails now and then does not say that the GPU has the field after all.
func TestFailureBesideNotSupported(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0))
		r.driver.absent[family.GREngine] = ampere()
		r.run(t)
		after(5 * time.Second)
		told := r.engine.wants
		for _, a := range []gpu.Absence{{Code: gpu.Failed, Text: "unknown error"}, ampere(), {Code: gpu.NoData, Text: "two readings"}, ampere()} {
			r.driver.do(func() { r.driver.absent[family.GREngine] = a })
			after(5 * time.Second)
		}
		if r.engine.wants != told {
			t.Errorf("DCGM was told %d times more", r.engine.wants-told)
		}
	})
}

// A counter does not go back when its source changes.
func TestCounterOverSources(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0))
		s := defaults()
		s.Source = OnlyDCGM
		r.settings.Set(s)
		e := uuid(0).Whole()
		r.driver.set(e, family.TotalEnergy, 1000)
		r.run(t)
		r.has(e, family.TotalEnergy, 1000) // NVML's: DCGM is only starting
		late := of(e, family.TotalEnergy, 990)
		late.At = late.At.Add(-500 * time.Millisecond)
		r.engine.tell(late)
		after(time.Second)
		r.has(e, family.TotalEnergy, 1000)
		r.engine.tell(of(e, family.TotalEnergy, 1010))
		after(time.Second)
		r.has(e, family.TotalEnergy, 1010)
		r.engine.tell(of(e, family.TotalEnergy, 5)) // the driver began anew
		after(time.Second)
		r.has(e, family.TotalEnergy, 5)
	})
}
