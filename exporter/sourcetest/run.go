package sourcetest

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// Run reads everything that the stage knows the truth of until the source agrees, and fails with what is still wrong.
func (s *Stage) Run(t *testing.T, read Read, o Options) {
	t.Helper()
	if o.Settle <= 0 {
		o.Settle = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(t.Context(), o.Settle)
	defer cancel()
	pause := time.NewTicker(250 * time.Millisecond) // GPM needs 100 ms between two samples
	defer pause.Stop()
	for {
		wrong, err := s.look(t.Context(), read, o)
		if err != nil {
			t.Fatal(err)
		}
		if len(wrong) == 0 {
			return
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			t.Fatalf("after %s the source still differs from the node:\n%s", o.Settle, strings.Join(wrong, "\n"))
		}
	}
}

// look reads once and says what is wrong. Its error is about the model.
func (s *Stage) look(ctx context.Context, read Read, o Options) (wrong []string, err error) {
	truth, err := s.truth(ctx)
	if err != nil {
		return nil, err
	}
	asks := map[gpu.UUID]*gpu.Ask{s.Whole(): {}, s.Divided(): {Instances: s.Instances()}}
	for _, is := range truth {
		ask := asks[is.Entity.GPU]
		fields := &ask.Whole
		if is.Entity.Instance != gpu.NoInstance {
			fields = &ask.Instance
		}
		if !slices.Contains(*fields, is.Field) {
			*fields = append(*fields, is.Field)
		}
	}
	var readings []gpu.Reading
	for _, uuid := range []gpu.UUID{s.Whole(), s.Divided()} {
		r, err := read(ctx, uuid, *asks[uuid])
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", uuid, err))
			continue
		}
		readings = append(readings, r...)
	}
	return append(wrong, Compare(truth, readings, o)...), nil
}

// Compare says in what readings differ from the truth, one line each, ordered.
func Compare(truth []Truth, readings []gpu.Reading, o Options) (wrong []string) {
	type key struct {
		e gpu.Entity
		f gpu.Field
	}
	said := map[key]gpu.Reading{}
	for _, r := range readings {
		k := key{r.Entity, r.Field}
		if _, twice := said[k]; twice {
			wrong = append(wrong, name(r.Entity, r.Field)+" is answered twice")
		}
		said[k] = r
	}
	for _, is := range truth {
		r, ok := said[key{is.Entity, is.Field}]
		if !ok {
			wrong = append(wrong, name(is.Entity, is.Field)+" is not answered")
			continue
		}
		none := is.Nothing || is.Profiling && !o.Profiling || slices.Contains(o.Lacks, is.Field)
		if none && is.Counted && r.Absent == nil {
			none = false
		}
		if why := is.judge(r, none); why != "" {
			wrong = append(wrong, name(is.Entity, is.Field)+" "+why)
		}
	}
	slices.SortFunc(wrong, cmp.Compare[string])
	return wrong
}

// judge says what is wrong with a reading; empty when nothing is.
func (is Truth) judge(r gpu.Reading, none bool) string {
	switch {
	case none && r.Absent == nil:
		return fmt.Sprintf("is %v%s although there is no such measurement", r.Value, r.Text)
	case none && (r.Absent.Code == "" || r.Absent.Text == ""):
		return "is absent without a reason"
	case none:
		return ""
	case r.Absent != nil:
		return fmt.Sprintf("is absent (%s: %s), it is %v%s", r.Absent.Code, r.Absent.Text, is.Value, is.Text)
	case r.At.IsZero() || time.Since(r.At).Abs() > time.Minute:
		return fmt.Sprintf("is of %s", r.At.Format(time.RFC3339))
	case is.Text != "" && r.Text != is.Text:
		return fmt.Sprintf("is %q, it is %q", r.Text, is.Text)
	case is.Text == "" && math.Abs(r.Value-is.Value) > is.Within+1e-9:
		return fmt.Sprintf("is %v, it is %v (within %v)", r.Value, is.Value, is.Within)
	}
	return ""
}

func name(e gpu.Entity, f gpu.Field) string {
	if e.Instance == gpu.NoInstance {
		return fmt.Sprintf("%s field %d", e.GPU, f)
	}
	return fmt.Sprintf("%s instance %d field %d", e.GPU, e.Instance, f)
}
