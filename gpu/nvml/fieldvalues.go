package nvml

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/gpu"
)

// leastInterval is the shortest over which a rate is told; asked sooner, the rate of before is.
const leastInterval = 100 * time.Millisecond

// growth is a counter at two times.
type growth struct {
	value, rate float64
	at          time.Time
	known       bool // rate is
}

// fetch reads all field values that the fields may need with one call.
func (r *reader) fetch(fields []gpu.Field) error {
	var values []nv.FieldValue
	r.values = map[fieldID]outcome{}
	for _, f := range fields {
		for _, s := range r.t.sources[f] {
			if r.t.profiled(s) {
				break
			}
			for _, id := range s.fields {
				if a, ok := r.t.absent[absentKey{instance: gpu.NoInstance, field: id}]; ok {
					r.values[id] = outcome{absent: a}
				} else if _, ok := r.values[id]; !ok {
					r.values[id] = outcome{}
					values = append(values, nv.FieldValue{FieldId: id.id, ScopeId: id.scope})
				}
			}
		}
	}
	if len(values) == 0 {
		return nil
	}
	const name = "nvmlDeviceGetFieldValues"
	all := r.t.v.d.call(name, func() nv.Return { return r.t.v.h.GetFieldValues(values) })
	if whole(all) {
		return all
	}
	for _, v := range values {
		err := all
		if err == nil && v.NvmlReturn != uint32(nv.SUCCESS) {
			err = wrap(fmt.Sprintf("field value %d", v.FieldId), nv.Return(v.NvmlReturn))
		}
		if whole(err) {
			return err
		}
		r.keep(fieldID{v.FieldId, v.ScopeId}, decode(v), err)
	}
	return nil
}

// keep notes a field value, and for good when it will not come.
func (r *reader) keep(id fieldID, value float64, err error) {
	o := outcome{value: value}
	if err != nil {
		o = outcome{absent: absence(err)}
	}
	if o.absent == nil {
		r.t.grow(id, value, r.at)
	} else if lasting(o.absent.Code) {
		if o.absent.Code == gpu.NoFunction {
			o.absent.Text = fmt.Sprintf("%s does not know the field value %d", r.t.v.d.name(), id.id)
		}
		r.t.absent[absentKey{instance: gpu.NoInstance, field: id}] = o.absent
	}
	r.values[id] = o
}

// grow notes a counter.
func (t *telemetry) grow(id fieldID, value float64, at time.Time) {
	g := t.rates[id]
	if g == nil {
		t.rates[id] = &growth{value: value, at: at}
		return
	}
	dt := at.Sub(g.at)
	if dt >= 0 && dt < leastInterval {
		return
	}
	*g = growth{value: value, at: at, rate: (value - g.value) / dt.Seconds(), known: dt > 0 && value >= g.value}
}

// counted adds up field values, or their rates.
func (r *reader) counted(s source) outcome {
	var out outcome
	for _, id := range s.fields {
		v, ok := r.values[id]
		if !ok || v.absent != nil {
			return v
		}
		if s.rate {
			g := r.t.rates[id]
			if !g.known {
				return lacking(gpu.NoData, "a rate needs two readings")
			}
			v.value, out.at = g.rate, g.at
		}
		out.value += v.value * s.scale
	}
	return out
}

// decode reads a value by its type.
func decode(v nv.FieldValue) float64 {
	bits := binary.LittleEndian.Uint64(v.Value[:])
	switch nv.ValueType(v.ValueType) { //nolint:exhaustive // the others fill all bits
	case nv.VALUE_TYPE_DOUBLE:
		return math.Float64frombits(bits)
	case nv.VALUE_TYPE_UNSIGNED_INT:
		return float64(uint32(bits))
	case nv.VALUE_TYPE_SIGNED_LONG_LONG:
		return float64(int64(bits))
	case nv.VALUE_TYPE_SIGNED_INT:
		return float64(int32(bits))
	case nv.VALUE_TYPE_UNSIGNED_SHORT:
		return float64(uint16(bits))
	}
	return float64(bits)
}
