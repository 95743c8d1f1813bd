package fleet_test

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/apiserver"
	"github.com/gpulet/gpulet/partitioner/fleet"
	"github.com/gpulet/gpulet/partitioner/fleet/fleettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What one agent writes another reads: nothing that decides about pods is lost on the way.
func TestReportReadsBack(t *testing.T) {
	all := geometries(t)
	rapid.Check(t, func(t *rapid.T) {
		r := report(t, all, "node-a")
		r.Version, r.Demand, r.Off = fleet.Version, 7, "it rests"
		r.Arriving = []fleet.DemandPod{{UID: "u", Namespace: "n", Name: "p", Requests: map[string]int64{"nvidia.com/gpu": 1}}}
		if len(r.Holders) == 0 {
			r.Holders = nil
		}
		data, err := fleet.EncodeReport(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := fleet.DecodeReport(data)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Fatalf("%+v\nwas read as\n%+v", r, got)
		}
	})
}

// A report of eight full GPUs stays small: 5,000 of them are in the planner's memory.
func TestReportIsSmall(t *testing.T) {
	g := geometries(t)[2]
	data, err := fleet.EncodeReport(fleettest.Node(rand.New(rand.NewPCG(1, 1)), "node-a", g, 8, 1))
	if err != nil || len(data) > 12<<10 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

// Documents of a later version, or too large ones, are refused as a whole.
func TestDocumentsThatAreRefused(t *testing.T) {
	for name, data := range map[string]string{
		"another version":     `{"version":2,"node":"a"}`,
		"no version":          `{"node":"a"}`,
		"no node":             `{"version":1}`,
		"a geometry too many": `{"version":1,"node":"a","gpus":[{"uuid":"GPU-1","geometry":0}]}`,
		"an axis too long":    `{"version":1,"node":"a","geometries":[{"axis":65}]}`,
		"a slot off the axis": `{"version":1,"node":"a","geometries":[{"axis":8,"profiles":[{"name":"1g.10gb","at":[[8,1]]}]}]}`,
		"too many ways":       `{"version":1,"node":"a","geometries":[{"axis":16,"profiles":[{"name":"1g.10gb","max":16,"at":[[0,1],[1,1],[2,1],[3,1],[4,1],[5,1],[6,1],[7,1],[8,1],[9,1],[10,1],[11,1],[12,1],[13,1],[14,1],[15,1]]}]}]}`,
		"not a slot":          `{"version":1,"node":"a","gpus":[{"uuid":"GPU-1","geometry":-1,"claims":[{"slot":"1g"}]}]}`,
		"not JSON":            `{`,
	} {
		if r, err := fleet.DecodeReport([]byte(data)); !errors.Is(err, fleet.ErrDocument) || r != nil {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	for name, data := range map[string]string{
		"another version":         `{"version":9}`,
		"a pod twice":             `{"version":1,"pods":[{"uid":"a"},{"uid":"a"}]}`,
		"a pod without a name":    `{"version":1,"pods":[{}]}`,
		"a negative request":      `{"version":1,"pods":[{"uid":"a","requests":{"nvidia.com/gpu":-1}}]}`,
		"an endless life":         `{"version":1,"ttl":9000000000000000000}`,
		"a generation too high":   `{"version":1,"generation":18446744073709551615}`,
		"not what it ought to be": `[]`,
	} {
		if d, err := fleet.DecodeDemand([]byte(data)); !errors.Is(err, fleet.ErrDocument) || d != nil {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

func FuzzReport(f *testing.F) {
	for _, g := range geometries(f) {
		data, _ := fleet.EncodeReport(fleettest.Node(rand.New(rand.NewPCG(1, 1)), "a", g, 2, 0.7))
		f.Add(data)
	}
	f.Add([]byte(`{"version":1,"node":"a","resources":{"x":"1g.10gb"},"gpus":[{"uuid":"GPU-1","geometry":-1,"role":3}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := fleet.DecodeReport(data)
		if err != nil {
			if !errors.Is(err, fleet.ErrDocument) {
				t.Error(err)
			}
			return
		}
		again, err := fleet.EncodeReport(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fleet.DecodeReport(again); err != nil {
			t.Errorf("it does not read back: %v", err)
		}
		if _, err := fleet.NewPlanner().Read(&apiserver.Document{Data: data}); err != nil {
			t.Error(err)
		}
	})
}

func FuzzDemand(f *testing.F) {
	data, _ := fleet.EncodeDemand(&fleet.Demand{Generation: 3, Leader: "a", TTL: time.Minute, Pods: []fleet.DemandPod{
		{UID: "u", Namespace: "n", Name: "p", Priority: -1, WaitedSeconds: 4, Requests: map[string]int64{"nvidia.com/mig-1g.10gb": 2}},
	}})
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := fleet.DecodeDemand(data)
		if err != nil {
			if !errors.Is(err, fleet.ErrDocument) {
				t.Error(err)
			}
			return
		}
		again, err := fleet.EncodeDemand(d)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := fleet.DecodeDemand(again); err != nil || back.Generation != d.Generation || len(back.Pods) != len(d.Pods) {
			t.Errorf("%+v was read back as %+v, %v", d, back, err)
		}
	})
}
