package nvml

import (
	"cmp"
	"errors"
	"time"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/gpu"
)

// reader reads the fields of one entity in one Read.
type reader struct {
	t      *telemetry
	ref    gpu.InstanceRef // ID is NoInstance for the whole GPU
	handle func() (nv.Device, error)
	values map[fieldID]outcome
	asked  map[string]asked
	gpm    map[nv.GpmMetricId]outcome
	at     time.Time
}

// asked is the result of a query, which several fields share.
type asked struct {
	answer answer
	err    error
}

// outcome is a value or why there is none.
type outcome struct {
	value  float64
	text   string
	at     time.Time
	absent *gpu.Absence
}

func lacking(code gpu.AbsenceCode, text string) outcome {
	return outcome{absent: &gpu.Absence{Code: code, Text: text}}
}

// read answers each field that there is a source for.
func (r *reader) read(out []gpu.Reading, fields []gpu.Field) ([]gpu.Reading, error) {
	if metrics := r.metrics(fields); len(metrics) > 0 {
		if err := r.measure(metrics); err != nil {
			return nil, err
		}
	}
	for _, f := range fields {
		ways, ok := r.t.sources[f]
		if !ok {
			continue
		}
		o, err := r.field(ways)
		if err != nil {
			return nil, err
		}
		at := o.at
		if at.IsZero() {
			at = r.at
		}
		out = append(out, gpu.Reading{
			Entity: gpu.Entity{GPU: r.t.uuid, Instance: r.ref.ID}, Field: f, Value: o.value, Text: o.text, At: at, Absent: o.absent,
		})
	}
	return out, nil
}

// field takes the first source that the entity and the driver have.
func (r *reader) field(ways []source) (outcome, error) {
	var last outcome
	for _, s := range ways {
		o, err := r.source(s)
		if err != nil || o.absent == nil {
			return o, err
		}
		if last.absent == nil || last.absent.Code != gpu.NoSource {
			last = o // what DCGM would have is worth more to know than what no source has
		}
		if !lasting(o.absent.Code) {
			return o, nil
		}
	}
	return last, nil
}

// lasting reports whether an absence stays until the layout changes.
func lasting(c gpu.AbsenceCode) bool {
	return c == gpu.NotSupported || c == gpu.NoFunction || c == gpu.NoSource
}

// source measures by one source.
func (r *reader) source(s source) (outcome, error) {
	instance := r.ref.ID != gpu.NoInstance
	switch {
	case instance && !s.ofInstances():
		return lacking(gpu.NotSupported, "it is measured for the GPU as a whole only"), nil
	case s.notInMIG() && r.t.seen.mig:
		return lacking(gpu.NotSupported, "the driver measures no utilization of a GPU in MIG mode"), nil
	case len(s.gpm) > 0:
		return r.sum(s), nil
	case len(s.fields) > 0:
		return r.counted(s), nil
	}
	return r.query(s)
}

// query makes one call, or takes its answer to another field.
func (r *reader) query(s source) (outcome, error) {
	key := absentKey{instance: r.ref.ID, query: s.query}
	if a, ok := r.t.absent[key]; ok {
		return outcome{absent: a}, nil
	}
	if r.ref.MIG == "" && r.ref.ID != gpu.NoInstance {
		return lacking(gpu.NoData, "the GPU instance has no compute instance"), nil
	}
	got, ok := r.asked[s.query]
	if !ok {
		q := r.t.queries[s.query]
		var h nv.Device
		if h, got.err = r.handle(); got.err == nil {
			got.err = r.t.v.d.call(q.symbol, func() (ret nv.Return) { got.answer, ret = q.call(h); return ret })
		}
		r.asked[s.query] = got
	}
	if whole(got.err) {
		return outcome{}, got.err
	}
	if got.err == nil {
		if s.query == "memory" || s.query == "memory v1" {
			r.t.use.memory(r.ref.ID, got.answer.n[2], r.at)
		}
		if got.answer.lacks[s.part] {
			return lacking(gpu.NotSupported, r.t.v.d.name()+" counts reserved memory as used"), nil
		}
		if got.answer.worded && got.answer.text == "" {
			return lacking(gpu.NoData, "the driver tells none"), nil
		}
		return outcome{value: got.answer.n[s.part] * s.scale, text: got.answer.text}, nil
	}
	o := r.failed(got.err)
	if lasting(o.absent.Code) {
		r.t.absent[key] = o.absent
	}
	return o, nil
}

// failed turns an error of one measurement into an absence.
func (r *reader) failed(err error) outcome {
	gone := errors.Is(err, gpu.ErrEnd) || errors.Is(err, gpu.ErrNotFound)
	if r.ref.ID != gpu.NoInstance && gone {
		if r.t.migs[r.ref.MIG].err == nil {
			delete(r.t.migs, r.ref.MIG) // it was there; now the driver will say that it is not
		}
		return lacking(gpu.Lost, "the GPU instance is gone")
	}
	return outcome{absent: absence(err)}
}

// absence says what an error means for a measurement.
func absence(err error) *gpu.Absence {
	kinds := []struct {
		is   error
		code gpu.AbsenceCode
		text string
	}{
		{gpu.ErrMissing, gpu.NoFunction, ""},
		{gpu.ErrNotSupported, gpu.NotSupported, ""},
		{gpu.ErrEnd, gpu.NoFunction, "this driver does not know it"},
		{gpu.ErrPermission, gpu.NoPermission, ""},
		{gpu.ErrNoData, gpu.NoData, ""},
	}
	text := err.Error()
	var e *gpu.DriverError
	if errors.As(err, &e) && errors.Is(err, gpu.ErrMissing) {
		text = e.Text
	}
	for _, k := range kinds {
		if errors.Is(err, k.is) {
			return &gpu.Absence{Code: k.code, Text: cmp.Or(k.text, text)}
		}
	}
	return &gpu.Absence{Code: gpu.Failed, Text: text}
}
