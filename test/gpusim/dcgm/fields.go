package dcgm

import (
	"context"
	"slices"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// Group is dcgm_field_entity_group_t.
type Group uint32

// The entity groups.
const (
	None      Group = 0
	GPU       Group = 1
	Switch    Group = 3
	Instance  Group = 4 // GPU instance
	Compute   Group = 5 // compute instance
	Link      Group = 6
	groupsEnd Group = 10
)

// The types of values.
const (
	Int    byte = 'i'
	Double byte = 'd'
	String byte = 's'
)

// Value is one sample of a field.
type Value struct {
	Type   byte
	Status Status
	TS     int64 // microseconds since the epoch
	Int    int64
	Float  float64
	Text   string
}

// Field is one that the simulation measures.
type Field struct {
	ID   uint16
	Tag  string
	Type byte
	// Level is the smallest entity that has a value of its own.
	Level Group
	// read is the value at this moment; mean is that between two readings of the hardware's counters. XIDs have neither.
	read func(p probe) (Value, model.Return)
	mean func(a, b model.Sums) Value
}

// laterIDs are those that DCGM has since 4.6.
func later(id uint16) bool {
	return id == 175 || id >= 1084 && id <= 1096 || id >= 1524 && id <= 1533 || id >= 1600
}

// Known says whether DCGM 4.6 has the field; most of them are not simulated and come as not supported.
func Known(id uint16) bool {
	ranges := [][2]uint16{
		{1, 6},
		{50, 77},
		{80, 94},
		{100, 102},
		{110, 115},
		{120, 120},
		{130, 130},
		{140, 140},
		{150, 153},
		{155, 167},
		{170, 175},
		{190, 191},
		{200, 207},
		{230, 230},
		{235, 238},
		{240, 247},
		{250, 254},
		{285, 287},
		{300, 301},
		{310, 346},
		{350, 363},
		{385, 396},
		{400, 489},
		{491, 513},
		{520, 534},
		{570, 577},
		{580, 592},
		{600, 600},
		{699, 707},
		{780, 843},
		{856, 897},
		{899, 899},
		{1001, 1034},
		{1040, 1096},
		{1100, 1104},
		{1110, 1112},
		{1120, 1120},
		{1130, 1133},
		{1140, 1141},
		{1200, 1220},
		{1300, 1310},
		{1399, 1442},
		{1501, 1503},
		{1507, 1509},
		{1523, 1533},
		{1600, 1612},
	}
	return slices.ContainsFunc(ranges, func(r [2]uint16) bool { return id >= r[0] && id <= r[1] })
}

// table is what is simulated, by id.
type table map[uint16]Field

// meta is what DCGM says of a field: the simulated one, or its place among the others.
func (t table) meta(id uint16) (Field, bool) {
	if f, ok := t[id]; ok {
		return f, true
	}
	return Field{ID: id, Tag: "not_simulated", Type: Int, Level: GPU, read: constant(func() (int64, model.Return) { return 0, model.NotSupported })}, Known(id)
}

func newTable() table {
	out := table{}
	for _, list := range [][]Field{identity(), clocksAndHeat(), powers(), usage(), health(), links(), profiling()} {
		for _, f := range list {
			out[f.ID] = f
		}
	}
	return out
}

// probe is where a field is read: an entity of a session with NVML.
type probe struct {
	engine  *Engine
	context context.Context //nolint:containedctx // of one reading
	entity  *entity
	dev     model.Device
}

func constant(f func() (int64, model.Return)) func(probe) (Value, model.Return) {
	return func(probe) (Value, model.Return) {
		v, r := f()
		return Value{Type: Int, Int: v}, r
	}
}

// integer is a field from a call that gives a number of the device.
func integer[T int | int32 | int64 | uint32 | uint64](id uint16, tag string, f func(p probe) (T, model.Return)) Field {
	return Field{ID: id, Tag: tag, Type: Int, Level: GPU, read: func(p probe) (Value, model.Return) {
		v, r := f(p)
		return Value{Type: Int, Int: int64(v)}, r
	}}
}

func flag(id uint16, tag string, f func(p probe) (bool, model.Return)) Field {
	return integer(id, tag, func(p probe) (int, model.Return) {
		v, r := f(p)
		return map[bool]int{true: 1}[v], r
	})
}

func double(id uint16, tag string, f func(p probe) (float64, model.Return)) Field {
	return Field{ID: id, Tag: tag, Type: Double, Level: GPU, read: func(p probe) (Value, model.Return) {
		v, r := f(p)
		return Value{Type: Double, Float: v}, r
	}}
}

func text(id uint16, tag string, f func(p probe) (string, model.Return)) Field {
	return Field{ID: id, Tag: tag, Type: String, Level: GPU, read: func(p probe) (Value, model.Return) {
		v, r := f(p)
		return Value{Type: String, Text: v}, r
	}}
}

// at moves a field to another level.
func (f Field) at(level Group) Field { f.Level = level; return f }

// Catalog lists the fields that a version of DCGM knows, by id, the simulated ones and the others.
func Catalog(version string) []Field {
	var out []Field
	t := newTable()
	for id := range uint16(2000) {
		if f, ok := t.meta(id); ok && (!later(id) || newer(version, 4, 6)) {
			out = append(out, f)
		}
	}
	return out
}
