package exporter

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/exporter/dcgm"
	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/gpu"
)

// Whatever both sources say and when, a cell tells a value of at most three periods' age, that its source said last, or a reason in
// words and no number.
func TestCellsTellTheTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := view{choice: rapid.SampledFrom([]SourceChoice{Auto, NVML, OnlyDCGM}).Draw(t, "choice"), unread: newReasons().unread}
		p := newPlan(Settings{Fast: time.Second})
		f := family.Family{Field: family.GREngine, NVML: rapid.SampledFrom([]string{"", "GPM 1/100", "GetX"}).Draw(t, "nvml"), Loop: family.Fast}
		e := &entity{cells: map[gpu.Field]*cell{f.Field: newCell(f)}}
		c := e.cells[f.Field]
		now := time.Unix(1000, 0)
		last := map[string]gpu.Reading{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 2500).Draw(t, "ms")) * time.Millisecond)
			r := gpu.Reading{Field: f.Field, Value: rapid.Float64Range(0.1, 1).Draw(t, "value"), At: now}
			if code := rapid.SampledFrom([]gpu.AbsenceCode{"", "", gpu.NotSupported, gpu.NoFunction, gpu.Failed}).Draw(t, "code"); code != "" {
				r.Absent = &gpu.Absence{Code: code, Text: "a reason"}
			}
			said := func(who string) {
				if r.Absent == nil || r.Absent.Code != gpu.Failed || last[who].Absent != nil { // a failure that may pass leaves the value
					last[who] = r
				}
			}
			switch who := rapid.SampledFrom([]string{"nvml", "dcgm", "nobody"}).Draw(t, "who"); {
			case who == nvmlSource && f.NVML != "":
				c.nvml.take(r, who, now)
				said(who)
			case who == dcgmSource:
				c.dcgm.take(r, who, now)
				said(who)
			}
			state := dcgm.State{Up: rapid.Bool().Draw(t, "up"), Reason: "it sleeps", Code: gpu.NoAnswer}
			down, why := engineState(&dcgm.Batch{State: state})
			v.down, v.dcgm = down, &why
			e.age(p, now, nil)
			is := e.show(v, e.shown[0])[f.Field]
			if is.Absent != nil {
				if is.V != 0 || is.Absent.Code == "" || is.Absent.Text == "" {
					t.Fatalf("%+v for %+v", is, is.Absent)
				}
				continue
			}
			if was := last[is.Source]; was.Absent != nil || was.Value != is.V || now.Sub(was.At) > 3*time.Second {
				t.Fatalf("%+v, and its source said %+v, now is %s", is, was, now)
			}
			if v.choice == NVML && is.Source != nvmlSource {
				t.Fatalf("%s is the source", is.Source)
			}
		}
	})
}
