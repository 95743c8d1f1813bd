package conformance

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// row is one question, asked twice: through go-nvml and the library, and of the model itself.
type row struct {
	name string
	// symbol is the C function; "a|b" where go-nvml takes the first that there is.
	symbol string
	real   func(d nv.Device) (any, nv.Return)
	sim    func(s side, d model.Device) (any, model.Return)
}

// side is the model's side of the comparison.
type side struct {
	ctx    context.Context
	client *model.Client
	branch model.Branch
}

func real1[T any](f func(nv.Device) (T, nv.Return)) func(nv.Device) (any, nv.Return) {
	return func(d nv.Device) (any, nv.Return) { v, ret := f(d); return v, ret }
}

func real2[A, B any](f func(nv.Device) (A, B, nv.Return)) func(nv.Device) (any, nv.Return) {
	return func(d nv.Device) (any, nv.Return) { a, b, ret := f(d); return []any{a, b}, ret }
}

func sim1[T any](f func(*model.Client, context.Context, model.Device) (T, model.Return)) func(side, model.Device) (any, model.Return) {
	return func(s side, d model.Device) (any, model.Return) { v, ret := f(s.client, s.ctx, d); return v, ret }
}

func sim2[A, B any](f func(*model.Client, context.Context, model.Device) (A, B, model.Return)) func(side, model.Device) (any, model.Return) {
	return func(s side, d model.Device) (any, model.Return) {
		a, b, ret := f(s.client, s.ctx, d)
		return []any{a, b}, ret
	}
}

// simBy is a question with a number.
func simBy[T any](f func(*model.Client, context.Context, model.Device, uint32) (T, model.Return), n uint32) func(side, model.Device) (any, model.Return) {
	return func(s side, d model.Device) (any, model.Return) { v, ret := f(s.client, s.ctx, d, n); return v, ret }
}

func one[T, U any](name, symbol string, r func(nv.Device) (T, nv.Return), s func(*model.Client, context.Context, model.Device) (U, model.Return)) row {
	return row{name, symbol, real1(r), sim1(s)}
}

func two[A, B, C, D any](name, symbol string, r func(nv.Device) (A, B, nv.Return), s func(*model.Client, context.Context, model.Device) (C, D, model.Return)) row {
	return row{name, symbol, real2(r), sim2(s)}
}

func by[T, U any](name, symbol string, n uint32, r func(d nv.Device, n int) (T, nv.Return), s func(*model.Client, context.Context, model.Device, uint32) (U, model.Return)) row {
	return row{fmt.Sprintf("%s(%d)", name, int32(n)), symbol, func(d nv.Device) (any, nv.Return) { v, ret := r(d, int(n)); return v, ret }, simBy(s, n)}
}

// answer writes an outcome so that both sides read the same: the value only of a call that succeeded.
func answer(v any, ret int32) string {
	if ret != 0 {
		return fmt.Sprintf("error %d", ret)
	}
	var b strings.Builder
	flat(&b, reflect.ValueOf(v))
	return strings.TrimSpace(b.String())
}

// flat writes the numbers and texts of a value in order, whatever the names around them; char arrays are texts.
func flat(b *strings.Builder, v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		flat(b, v.Elem())
	case reflect.Bool:
		n := 0
		if v.Bool() {
			n = 1
		}
		fmt.Fprintf(b, "%d ", n)
	case reflect.Struct:
		for i := range v.NumField() {
			flat(b, v.Field(i))
		}
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Array && v.Type().Elem().Kind() == reflect.Int8 {
			for i := range v.Len() {
				if c := v.Index(i).Int(); c != 0 {
					b.WriteByte(byte(c))
				} else {
					break
				}
			}
			b.WriteByte(' ')
			return
		}
		for i := range v.Len() {
			flat(b, v.Index(i))
		}
	case reflect.String:
		b.WriteString(v.String() + " ")
	case reflect.Float64:
		fmt.Fprintf(b, "%g ", v.Float())
	case reflect.Invalid:
	default:
		if v.CanInt() {
			fmt.Fprintf(b, "%d ", v.Int())
		} else {
			fmt.Fprintf(b, "%d ", v.Uint())
		}
	}
}

// missing is the answer of a library without the function.
const missing = "missing"

func (r row) symbols() []string { return strings.Split(r.symbol, "|") }
