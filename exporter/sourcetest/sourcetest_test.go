package sourcetest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// honest answers what is true; twist changes an answer.
func honest(s *Stage, o Options, twist func(*gpu.Reading)) Read {
	return func(ctx context.Context, uuid gpu.UUID, ask gpu.Ask) (out []gpu.Reading, err error) {
		truth, err := s.truth(ctx)
		for _, is := range truth {
			if is.Entity.GPU != uuid {
				continue
			}
			r := gpu.Reading{Entity: is.Entity, Field: is.Field, Value: is.Value, Text: is.Text, At: time.Now()}
			if is.Nothing || is.Profiling && !o.Profiling || slices.Contains(o.Lacks, is.Field) {
				r.Absent = &gpu.Absence{Code: gpu.NotSupported, Text: "not on this GPU"}
			}
			twist(&r)
			out = append(out, r)
		}
		return out, err
	}
}

// The suite passes a source that is right and names what is wrong with one that is not.
func TestSuite(t *testing.T) {
	for _, shape := range []string{"dgx-a100", "hgx-h100"} {
		t.Run(shape, func(t *testing.T) {
			s := Set(t, sim.New(t, sim.Options{Shape: shape}))
			o := Options{Profiling: shape == "hgx-h100", Lacks: nil}
			s.Run(t, honest(s, o, func(*gpu.Reading) {}), o)
			for _, bad := range []struct {
				name, want string
				twist      func(*gpu.Reading)
			}{
				{"milliwatts", "field 155 is ", func(r *gpu.Reading) {
					if r.Field == family.PowerUsage {
						r.Value *= 1000
					}
				}},
				{"the GPU's value for an instance", "field 252 is ", func(r *gpu.Reading) {
					if r.Field == family.FBUsed && r.Entity.Instance != gpu.NoInstance {
						r.Value = 8192
					}
				}},
				{"a utilization in MIG mode", "although there is no such measurement", func(r *gpu.Reading) {
					if r.Field == family.GPUUtil {
						r.Absent = nil
					}
				}},
				{"an absence without a word", "without a reason", func(r *gpu.Reading) {
					if r.Absent != nil {
						r.Absent = &gpu.Absence{}
					}
				}},
				{"no time", "is of 0001", func(r *gpu.Reading) { r.At = time.Time{} }},
			} {
				wrong, err := s.look(t.Context(), honest(s, o, bad.twist), o)
				if err != nil || !strings.Contains(strings.Join(wrong, "\n"), bad.want) {
					t.Errorf("%s: %q %v", bad.name, wrong, err)
				}
			}
		})
	}
}
