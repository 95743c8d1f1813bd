package dcgm

import (
	"math"
	"testing"
	"time"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/gpu"
)

// What DCGM says instead of a value is a reason and never a number, also with status OK.
func TestBlanks(t *testing.T) {
	now := time.UnixMicro(1_700_000_000_000_000)
	const none = gpu.AbsenceCode("")
	for name, c := range map[string]struct {
		v    value
		want gpu.AbsenceCode
		num  float64
	}{
		"a number":                   {value{kind: 'i', i: 42}, none, 42},
		"a timestamp":                {value{kind: 't', i: 42}, none, 42},
		"a negative number":          {value{kind: 'i', i: -1}, none, -1},
		"blank 64":                   {value{kind: 'i', i: 0x7ffffffffffffff0}, gpu.NoData, 0},
		"not found 64":               {value{kind: 'i', i: 0x7ffffffffffffff1}, gpu.NoData, 0},
		"not supported 64":           {value{kind: 'i', i: 9223372036854775794}, gpu.NotSupported, 0},
		"not permissioned 64":        {value{kind: 'i', i: 0x7ffffffffffffff3}, gpu.NoPermission, 0},
		"above the last 64":          {value{kind: 'i', i: math.MaxInt64}, gpu.NoData, 0},
		"just below blank 64":        {value{kind: 'i', i: 0x7fffffffffffffef}, none, 0x7fffffffffffffef},
		"blank 32":                   {value{kind: 'i', i: 0x7ffffff0}, gpu.NoData, 0},
		"not supported 32":           {value{kind: 'i', i: 0x7ffffff2}, gpu.NotSupported, 0},
		"just below blank 32":        {value{kind: 'i', i: 0x7fffffef}, none, 0x7fffffef},
		"a counter above 2^31":       {value{kind: 'i', i: 1 << 31}, none, 1 << 31},
		"a ratio":                    {value{kind: 'd', d: 0.25}, none, 0.25},
		"blank real":                 {value{kind: 'd', d: 140737488355328}, gpu.NoData, 0},
		"not supported real":         {value{kind: 'd', d: 140737488355330}, gpu.NotSupported, 0},
		"not permissioned real":      {value{kind: 'd', d: 140737488355331}, gpu.NoPermission, 0},
		"far above real":             {value{kind: 'd', d: 1e300}, gpu.NoData, 0},
		"no number":                  {value{kind: 'd', d: math.NaN()}, gpu.Failed, 0},
		"infinite":                   {value{kind: 'd', d: math.Inf(1)}, gpu.Failed, 0},
		"a text":                     {value{kind: 's', s: "96.00"}, none, 0},
		"no text":                    {value{kind: 's', s: ""}, gpu.NoData, 0},
		"null text":                  {value{kind: 's', s: "<<<NULL>>>"}, gpu.NoData, 0},
		"not supported text":         {value{kind: 's', s: "<<<NOT_SUPPORTED>>>"}, gpu.NotSupported, 0},
		"not permissioned text":      {value{kind: 's', s: "<<<NOT_PERM>>>"}, gpu.NoPermission, 0},
		"go-dcgm's other spelling":   {value{kind: 's', s: "<<<NOT_PERMISSIONED>>>"}, gpu.NoPermission, 0},
		"a structure":                {value{kind: 'b'}, gpu.NotSupported, 0},
		"the GPU is lost":            {value{kind: 'i', i: 42, status: -18}, gpu.Lost, 0},
		"not watched":                {value{kind: 'i', status: -16}, gpu.NoData, 0},
		"stale":                      {value{kind: 'd', status: -15}, gpu.Stale, 0},
		"profiling is paused":        {value{kind: 'd', status: -54}, gpu.NoData, 0},
		"the driver does not answer": {value{kind: 'd', status: -57}, gpu.NoAnswer, 0},
		"a status of the future":     {value{kind: 'd', status: -99}, gpu.Failed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c.v.at = now.Add(-time.Second).UnixMicro()
			r := c.v.reading(gpu.UUID("GPU-1").Whole(), now)
			switch {
			case c.want == none && r.Absent != nil:
				t.Errorf("absent: %+v", *r.Absent)
			case c.want == none && (r.Value != c.num || r.Text != c.v.s || !r.At.Equal(now.Add(-time.Second))):
				t.Errorf("%+v, want %v", r, c.num)
			case c.want != none && (r.Absent == nil || r.Absent.Code != c.want || r.Absent.Text == "" || r.Value != 0 || r.Text != ""):
				t.Errorf("%+v, want %s", r, c.want)
			}
		})
	}
}

func TestTimeOfValues(t *testing.T) {
	now := time.UnixMicro(1_700_000_000_000_000)
	of := gpu.UUID("GPU-1").Whole()
	old := now.Add(-time.Hour)
	if r := (value{field: 155, kind: 'd', d: 1, at: old.UnixMicro()}).reading(of, now); !r.At.Equal(old) {
		t.Errorf("an old value is of %s, want DCGM's own time", r.At)
	}
	if r := (value{field: 155, kind: 'd', d: 1, at: now.Add(time.Hour).UnixMicro()}).reading(of, now); !r.At.Equal(now) {
		t.Errorf("a value of the future is of %s: it would never be stale", r.At)
	}
	if r := (value{field: 155, kind: 'd', d: 1}).reading(of, now); !r.At.Equal(now) {
		t.Errorf("a value without a time is of %s", r.At)
	}
	if r := (value{field: family.XIDErrors, kind: 'i', i: 79, at: old.UnixMicro()}).reading(of, now); !r.At.Equal(now) {
		t.Errorf("the last XID is of %s, but is true now", r.At)
	}
}
