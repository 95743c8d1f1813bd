package nvml

import (
	"errors"
	"math"
	"time"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/gpu"
)

// pair are the two samples of an entity, between which GPM computes.
type pair struct {
	last, spare nv.GpmSample
	taken       bool // last is
	at          time.Time
	values      map[nv.GpmMetricId]outcome // of the last two
}

// metrics lists the GPM metrics that the fields need and the entity may have. Field values were fetched before.
func (r *reader) metrics(fields []gpu.Field) []nv.GpmMetricId {
	var out []nv.GpmMetricId
	r.gpm = map[nv.GpmMetricId]outcome{}
	for _, f := range fields {
		for _, s := range r.t.sources[f] {
			if r.ref.ID != gpu.NoInstance && !s.ofInstances() {
				continue
			}
			if len(s.gpm) == 0 {
				if r.fails(s) {
					continue
				}
				break
			}
			for _, id := range s.gpm {
				if a, ok := r.t.absent[absentKey{instance: r.ref.ID, gpm: id}]; ok {
					r.gpm[id] = outcome{absent: a}
				} else if _, ok := r.gpm[id]; !ok {
					r.gpm[id] = outcome{}
					out = append(out, id)
				}
			}
		}
	}
	return out
}

// fails reports whether field values that a source needs are not there: the next source is to be measured.
func (r *reader) fails(s source) bool {
	for _, id := range s.fields {
		if v, ok := r.values[id]; ok && v.absent != nil && lasting(v.absent.Code) {
			return true
		}
	}
	return false
}

// profiled reports whether GPM is known to give a source.
func (t *telemetry) profiled(s source) bool {
	if len(s.gpm) == 0 || t.gpm == nil || t.gpm.Code != "" {
		return false
	}
	for _, id := range s.gpm {
		if _, ok := t.absent[absentKey{instance: gpu.NoInstance, gpm: id}]; ok {
			return false
		}
	}
	return true
}

// sum adds up metrics.
func (r *reader) sum(s source) outcome {
	var out outcome
	for _, id := range s.gpm {
		o := r.gpm[id]
		if o.absent != nil {
			return o
		}
		out.value += o.value * s.scale
		out.at = o.at
	}
	return out
}

// measure takes a sample and computes the metrics since the one before. An error is about the GPU as a whole.
func (r *reader) measure(ids []nv.GpmMetricId) error {
	none, err := r.t.profiles()
	if err != nil {
		return err
	}
	if none.Code != "" {
		r.all(ids, outcome{absent: none})
		return nil
	}
	if r.t.gone[r.ref] {
		r.all(ids, r.failed(gpu.ErrNotFound))
		return nil
	}
	p := r.t.pairs[r.ref]
	if p == nil {
		p = &pair{}
		r.t.pairs[r.ref] = p
	}
	if p.taken && r.at.Sub(p.at) >= 0 && r.at.Sub(p.at) < leastInterval {
		r.before(ids, p)
		return nil
	}
	if err := r.sample(p); err != nil {
		if whole(err) {
			return err
		}
		_ = r.t.free(r.ref)
		o := r.failed(err)
		r.all(ids, o)
		r.t.gone[r.ref] = o.absent.Code == gpu.Lost
		if lasting(o.absent.Code) {
			for _, id := range ids {
				r.t.absent[absentKey{instance: r.ref.ID, gpm: id}] = o.absent
			}
		}
		return nil
	}
	if !p.taken {
		p.last, p.spare, p.taken, p.at = p.spare, p.last, true, r.at
		r.before(ids, p)
		return nil
	}
	values, err := r.compute(p, ids)
	if whole(err) {
		return err
	}
	p.last, p.spare, p.at, p.values = p.spare, p.last, r.at, values
	if err != nil { // the samples do not go together: the next pair will
		p.values = nil
	}
	r.before(ids, p)
	return nil
}

func (r *reader) all(ids []nv.GpmMetricId, o outcome) {
	for _, id := range ids {
		r.gpm[id] = o
	}
}

// before takes the values of the last two samples.
func (r *reader) before(ids []nv.GpmMetricId, p *pair) {
	for _, id := range ids {
		o, ok := p.values[id]
		if !ok {
			o = lacking(gpu.NoData, "profiling needs two readings")
		}
		r.gpm[id] = o
	}
}

// sample fills the spare sample, which it makes when there is none.
func (r *reader) sample(p *pair) error {
	d := r.t.v.d
	if p.spare == nil {
		err := d.call("nvmlGpmSampleAlloc", func() (ret nv.Return) { p.spare, ret = d.lib.GpmSampleAlloc(); return ret })
		if err != nil {
			p.spare = nil
			return err
		}
	}
	if r.ref.ID == gpu.NoInstance {
		return d.call("nvmlGpmSampleGet", func() nv.Return { return r.t.v.h.GpmSampleGet(p.spare) })
	}
	return d.call("nvmlGpmMigSampleGet", func() nv.Return { return r.t.v.h.GpmMigSampleGet(int(r.ref.ID), p.spare) })
}

// compute asks for the metrics between the last and the spare sample. Libraries before 570 know none from 248 on, and may refuse
// the whole list for them.
func (r *reader) compute(p *pair, ids []nv.GpmMetricId) (map[nv.GpmMetricId]outcome, error) {
	get, err := r.metricsGet(p, ids)
	if errors.Is(err, gpu.ErrEnd) {
		var known []nv.GpmMetricId
		for _, id := range ids {
			if id < nv.GPM_METRIC_SM_CYCLES_ELAPSED {
				known = append(known, id)
			}
		}
		if len(known) < len(ids) {
			if len(known) == 0 {
				known = []nv.GpmMetricId{nv.GPM_METRIC_GRAPHICS_UTIL} // to tell a refused list from refused samples
			}
			get, err = r.metricsGet(p, known)
		}
		if err == nil {
			for _, id := range ids {
				if id >= nv.GPM_METRIC_SM_CYCLES_ELAPSED {
					r.t.absent[absentKey{instance: r.ref.ID, gpm: id}] = &gpu.Absence{Code: gpu.NoFunction, Text: r.t.v.d.name() + " does not know the GPM metric " + itoa(int(id))}
				}
			}
		}
	}
	if err != nil {
		return nil, err
	}
	out := map[nv.GpmMetricId]outcome{}
	for _, m := range get.Metrics[:get.NumMetrics] {
		out[nv.GpmMetricId(m.MetricId)] = r.metric(m)
	}
	for _, id := range ids {
		if a, ok := r.t.absent[absentKey{instance: r.ref.ID, gpm: id}]; ok {
			out[id] = outcome{absent: a}
		}
	}
	return out, nil
}

func (r *reader) metricsGet(p *pair, ids []nv.GpmMetricId) (*nv.GpmMetricsGetType, error) {
	get := &r.t.get
	get.NumMetrics, get.Sample1, get.Sample2 = uint32(len(ids)), p.last, p.spare
	for i, id := range ids {
		get.Metrics[i] = nv.GpmMetric{MetricId: uint32(id)}
	}
	d := r.t.v.d
	return get, d.call("nvmlGpmMetricsGet", func() nv.Return { return d.lib.GpmMetricsGet(get) })
}

// metric reads one metric of an answer.
func (r *reader) metric(m nv.GpmMetric) outcome {
	err := wrap("GPM metric "+itoa(int(m.MetricId)), nv.Return(m.NvmlReturn))
	if err == nil && (math.IsNaN(m.Value) || math.IsInf(m.Value, 0)) {
		return lacking(gpu.NoData, "the driver told no number")
	}
	if err == nil {
		return outcome{value: m.Value, at: r.at}
	}
	a := absence(err)
	if lasting(a.Code) {
		r.t.absent[absentKey{instance: r.ref.ID, gpm: nv.GpmMetricId(m.MetricId)}] = a
	}
	return outcome{absent: a}
}

// profiles says whether the GPU has GPM: an empty code when it has. It is asked once in a session, and seldom again when the driver says no.
func (t *telemetry) profiles() (*gpu.Absence, error) {
	if t.gpm != nil {
		return t.gpm, nil
	}
	d := t.v.d
	var arch nv.DeviceArchitecture
	err := d.call("nvmlDeviceGetArchitecture", func() (ret nv.Return) { arch, ret = t.v.h.GetArchitecture(); return ret })
	if whole(err) {
		return nil, err
	}
	if err == nil && arch < nv.DEVICE_ARCH_HOPPER {
		t.gpm = &gpu.Absence{Code: gpu.NoSource, Text: "profiling before Hopper needs DCGM"}
		return t.gpm, nil
	}
	for _, s := range []string{"nvmlGpmSampleAlloc", "nvmlGpmSampleGet", "nvmlGpmMigSampleGet", "nvmlGpmMetricsGet", "nvmlGpmSampleFree"} {
		if !d.has(s) {
			t.gpm = &gpu.Absence{Code: gpu.NoFunction, Text: d.lacks(s)}
			return t.gpm, nil
		}
	}
	var support nv.GpmSupport
	err = d.call("nvmlGpmQueryDeviceSupport", func() (ret nv.Return) { support, ret = t.v.h.GpmQueryDeviceSupport(); return ret })
	switch {
	case whole(err):
		return nil, err
	case err != nil && !lasting(absence(err).Code):
		return absence(err), nil // asked again at the next time
	case err != nil:
		t.gpm = absence(err)
	case support.IsSupportedDevice == 0:
		t.gpm = &gpu.Absence{Code: gpu.NotSupported, Text: "the driver does not profile this GPU"}
	default:
		t.gpm = &gpu.Absence{}
	}
	return t.gpm, nil
}

// free gives an entity's samples back.
func (t *telemetry) free(ref gpu.InstanceRef) error {
	p := t.pairs[ref]
	delete(t.pairs, ref)
	if p == nil {
		return nil
	}
	var errs []error
	for _, s := range []nv.GpmSample{p.last, p.spare} {
		if s != nil {
			errs = append(errs, t.v.d.call("nvmlGpmSampleFree", func() nv.Return { return t.v.d.lib.GpmSampleFree(s) }))
		}
	}
	return errors.Join(errs...)
}

func (t *telemetry) freeAll() error {
	var errs []error
	for ref := range t.pairs {
		errs = append(errs, t.free(ref))
	}
	return errors.Join(errs...)
}
