package exporter

import (
	"cmp"
	"strings"
	"time"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// The names of sources.
const (
	nvmlSource         = "nvml"
	dcgmSource         = "dcgm"
	podresourcesSource = "podresources"
)

// told is what one source said last of a field.
type told struct {
	value sample.Value
	// at is when it was true; zero while nothing was said.
	at time.Time
	// old says that it is out of date, nil while it is not.
	old *gpu.Absence
	// failing is why there was no newer value, nil while there is.
	failing *gpu.Absence
}

// passing reports whether a value may well be there again the next time: until then the last one is told, if it is not too old.
func passing(a gpu.AbsenceCode) bool { return a == gpu.NoData || a == gpu.NoAnswer || a == gpu.Failed }

// lasting reports whether a source does not have the value at all.
func lasting(a gpu.AbsenceCode) bool {
	return a == gpu.NotSupported || a == gpu.NoFunction || a == gpu.NoSource
}

// take replaces what was said, and keeps an absence that says the same.
func (t *told) take(r gpu.Reading, source string, at time.Time) (changed bool) {
	absent := r.Absent
	if absent != nil && passing(absent.Code) && !t.at.IsZero() {
		switch was := t.value.Absent; {
		case was == nil && t.old == nil:
			t.failing = absent
			return false
		case was != nil && lasting(was.Code): // a call that fails once does not say that the GPU has the field after all
			return false
		}
	}
	changed = (absent == nil) != (t.value.Absent == nil) || absent != nil && *absent != *t.value.Absent
	if !changed {
		absent = t.value.Absent
	}
	t.value = sample.Value{V: r.Value, Text: r.Text, At: r.At, Source: source, Absent: absent}
	if absent != nil {
		t.value.V, t.value.Text = 0, ""
	}
	t.at, t.old, t.failing = at, nil, nil
	return changed
}

// age makes a value that is older than limit an absence, and reports whether it did so just now. A limit of 0 is none; down says
// why the GPU does not answer, nil when it does.
func (t *told) age(now time.Time, limit time.Duration, down *gpu.Absence) bool {
	if t.at.IsZero() || t.value.Absent != nil || t.old != nil || limit == 0 || now.Sub(t.at) <= limit {
		return false
	}
	if t.old = cmp.Or(down, t.failing); t.old == nil {
		t.old = &gpu.Absence{Code: gpu.Stale, Text: "the last value is too old"}
	}
	return true
}

// now is the value, or why there is none; nothing stands for a source that said nothing.
func (t *told) now(nothing *gpu.Absence) sample.Value {
	switch {
	case t.at.IsZero():
		return sample.Value{Absent: nothing}
	case t.old != nil:
		return sample.Value{At: t.value.At, Source: t.value.Source, Absent: t.old}
	}
	return t.value
}

// cell is one field of one entity, with what both sources say of it.
type cell struct {
	family     family.Family
	nvml, dcgm told
}

// newCell begins without a value. What NVML does not know at all it is not asked.
func newCell(f family.Family) *cell {
	c := &cell{family: f}
	if f.NVML == "" {
		c.nvml.at = time.Unix(0, 0)
		c.nvml.value.Absent = &gpu.Absence{Code: gpu.NoSource, Text: "only DCGM has it"}
	}
	return c
}

// wantsDCGM reports whether NVML cannot have the field here, and DCGM could. What DCGM gets from NVML itself is not there either.
func (c *cell) wantsDCGM() bool {
	a := c.nvml.value.Absent
	if c.nvml.at.IsZero() || a == nil {
		return false
	}
	switch a.Code {
	case gpu.NoSource, gpu.NoFunction:
		return true
	case gpu.NotSupported:
		return c.family.NVML == "" || strings.Contains(c.family.NVML, "GPM")
	default:
		return false
	}
}

// takesDCGM reports whether DCGM is asked for the field.
func (c *cell) takesDCGM(choice SourceChoice) bool {
	return choice == OnlyDCGM || choice == Auto && c.wantsDCGM()
}

// view is what choosing depends on besides the cell.
type view struct {
	choice SourceChoice
	// unread is the absence of what was not read yet; dcgm that of what DCGM has not told.
	unread, dcgm *gpu.Absence
	// down: DCGM tells nothing now, for the reason dcgm.
	down bool
}

// choose takes the source's value that counts.
func (c *cell) choose(v view) sample.Value {
	n := c.nvml.now(v.unread)
	if !c.takesDCGM(v.choice) {
		return n
	}
	d := c.dcgm.now(v.dcgm)
	switch {
	case d.Absent == nil:
		return d
	case n.Absent == nil:
		return n
	case !c.wantsDCGM(): // NVML has it as a rule
		return n
	case v.down:
		d.Absent = v.dcgm
	}
	return d
}
