package gpufake

import (
	"sync"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// telemetryState is what a test set of a GPU's measurements; guarded by the driver's mu.
type telemetryState struct {
	readings map[entityField]gpu.Reading
	uses     []gpu.ProcessUse
	err      error
	hang     chan struct{}
	reads    int
	held     int
}

type entityField struct {
	instance uint32
	field    gpu.Field
}

// SetReading sets the value of a field of the whole GPU, by gpu.NoInstance, or of an instance. A field that was never set
// answers that it is not supported.
func (g *GPU) SetReading(instance uint32, field gpu.Field, value float64) {
	g.setReading(instance, gpu.Reading{Field: field, Value: value})
}

// SetText sets the value of a field that is a text.
func (g *GPU) SetText(instance uint32, field gpu.Field, text string) {
	g.setReading(instance, gpu.Reading{Field: field, Text: text})
}

// SetAbsent makes a field answer why it is not there.
func (g *GPU) SetAbsent(instance uint32, field gpu.Field, code gpu.AbsenceCode, text string) {
	g.setReading(instance, gpu.Reading{Field: field, Absent: &gpu.Absence{Code: code, Text: text}})
}

func (g *GPU) setReading(instance uint32, r gpu.Reading) {
	r.Entity = gpu.Entity{GPU: g.ID.UUID, Instance: instance}
	g.do(func() {
		if g.telemetry.readings == nil {
			g.telemetry.readings = map[entityField]gpu.Reading{}
		}
		g.telemetry.readings[entityField{instance, r.Field}] = r
	})
}

// SetUses sets what the processes do; until then Use answers the holders, not measured.
func (g *GPU) SetUses(u ...gpu.ProcessUse) {
	g.do(func() { g.telemetry.uses = append([]gpu.ProcessUse{}, u...) })
}

// SetTelemetryError makes Read and Use alone fail; nil ends that.
func (g *GPU) SetTelemetryError(err error) { g.do(func() { g.telemetry.err = err }) }

// HangTelemetry makes Read and Use alone block until the function that it returns is called.
func (g *GPU) HangTelemetry() (release func()) {
	c := make(chan struct{})
	g.do(func() { g.telemetry.hang = c })
	return sync.OnceFunc(func() {
		g.do(func() { g.telemetry.hang = nil })
		close(c)
	})
}

// Reads is how often Read was called.
func (g *GPU) Reads() (n int) {
	g.do(func() { n = g.telemetry.reads })
	return n
}

// Held is how many Telemetry objects hold the GPU: they have read and were not released.
func (g *GPU) Held() (n int) {
	g.do(func() { n = g.telemetry.held })
	return n
}

// Telemetry is a reader of its own.
func (h *handle) Telemetry() gpu.Telemetry { return &telemetry{h: h} }

type telemetry struct {
	h    *handle
	held bool // guarded by the driver's mu
}

// wait blocks while the test wants it.
func (t *telemetry) wait() {
	for {
		var c chan struct{}
		t.h.g.do(func() { c = t.h.g.telemetry.hang })
		if c == nil {
			return
		}
		<-c
	}
}

func (t *telemetry) Read(ask gpu.Ask) (out []gpu.Reading, err error) {
	t.wait()
	g := t.h.g
	var failed error
	err = t.h.call("Read", func() {
		s := &g.telemetry
		s.reads++
		if failed = s.err; failed != nil {
			return
		}
		if !t.held {
			t.held = true
			s.held++
		}
		for _, f := range ask.Whole {
			out = append(out, t.read(gpu.NoInstance, f, true))
		}
		for _, in := range ask.Instances {
			there := false
			for _, i := range g.layout.Instances {
				there = there || i.ID == in.ID
			}
			for _, f := range ask.Instance {
				out = append(out, t.read(in.ID, f, there))
			}
		}
	})
	if err == nil {
		err = failed
	}
	return out, err
}

// read answers one field. The caller holds the driver's mu.
func (t *telemetry) read(instance uint32, f gpu.Field, there bool) gpu.Reading {
	g := t.h.g
	r := gpu.Reading{Entity: gpu.Entity{GPU: g.ID.UUID, Instance: instance}, Field: f}
	if !there {
		r.Absent = &gpu.Absence{Code: gpu.Lost, Text: "the GPU instance is gone"}
	} else if set, ok := g.telemetry.readings[entityField{instance, f}]; ok {
		r = set
	} else {
		r.Absent = &gpu.Absence{Code: gpu.NotSupported, Text: "this GPU does not have it"}
	}
	r.At = time.Now()
	return r
}

func (t *telemetry) Use() (out []gpu.ProcessUse, err error) {
	t.wait()
	g := t.h.g
	var failed error
	err = t.h.call("Use", func() {
		if failed = g.telemetry.err; failed != nil {
			return
		}
		if out = append(out, g.telemetry.uses...); g.telemetry.uses != nil {
			return
		}
		for _, h := range g.holders {
			out = append(out, gpu.ProcessUse{Holder: h})
		}
	})
	if err == nil {
		err = failed
	}
	return out, err
}

func (t *telemetry) Release() error {
	t.h.g.do(func() {
		if t.held {
			t.held = false
			t.h.g.telemetry.held--
		}
	})
	return nil
}
