package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gpulet/gpulet/gpu/gpufake"
	"github.com/gpulet/gpulet/gpu/mig"
)

// At every load at least as many pods find room as with the best of the usual rules, and fewer instances are destroyed.
func TestNoWorseThanRules(t *testing.T) {
	g := gpufake.A100Geometry()
	list := policies()
	for _, load := range []float64{0.7, 0.9, 1.1} {
		sums := make([]result, len(list))
		for seed := range uint64(3) {
			w := poisson(seed, g, 8, load, 1000)
			for i, p := range list {
				sums[i] = sums[i].plus(play(g, w, p.choose))
			}
		}
		for i, r := range sums {
			if sums[0].accepted < r.accepted || sums[0].destroys > r.destroys {
				t.Errorf("load %.1f: %+v, %s %+v", load, sums[0], list[i].name, r)
			}
		}
		w := poisson(0, g, 8, load, 1000)
		if most, ours := bound(g, w, 300), play(g, w, list[0].choose); most < float64(ours.accepted) {
			t.Errorf("load %.1f: %d were accepted, and no plan is said to accept more than %.1f", load, ours.accepted, most)
		}
	}
}

func profile(t *testing.T, g mig.Geometry, name string) mig.ProfileInfo {
	t.Helper()
	for _, p := range g.Profiles {
		if p.Profile.String() == name {
			return p
		}
	}
	t.Fatalf("no profile %s", name)
	return mig.ProfileInfo{}
}

func TestBound(t *testing.T) {
	g := gpufake.A100Geometry()
	whole, small := profile(t, g, "7g.80gb"), profile(t, g, "1g.10gb")
	for _, c := range []struct {
		name     string
		pods     []pod
		from, to float64
	}{
		{"two at once on one GPU", []pod{{0, 2, whole, 1}, {1, 2, whole, 1}}, 1, 1.05},
		{"one after the other", []pod{{0, 1, whole, 1}, {1, 1, whole, 1}}, 2, 2},
		{"seven and one more", []pod{{0, 2, small, 7}, {1, 2, small, 1}}, 13.0 / 7, 1.95},
	} {
		if got := bound(g, workload{gpus: 1, pods: c.pods}, 3000); got < c.from || got > c.to {
			t.Errorf("%s: %.3f, want %v to %v", c.name, got, c.from, c.to)
		}
	}
}

func TestTraceMapping(t *testing.T) {
	dir := t.TempDir()
	text := "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n" +
		"a,1,1,1,460,,LS,Running,9800010,9800020,0\nb,1,1,2,1000,,LS,Running,9800005,19800000,0\nc,1,1,0,0,,LS,Running,9800000,9800020,0\nd,1,1,1,143,,LS,Running,9800030,9800040,0\n"
	if err := os.WriteFile(filepath.Join(dir, "openb_pod_list_default.csv"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	pods, err := traced(dir, gpufake.A100Geometry(), 8)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		at, runs float64
		profile  string
		count    int
	}{{5, 86400, "7g.80gb", 2}, {10, 10, "4g.40gb", 1}, {30, 10, "2g.20gb", 1}}
	if len(pods) != len(want) {
		t.Fatalf("%+v", pods)
	}
	for i, w := range want {
		if p := pods[i]; p.at != w.at || p.runs != w.runs || p.profile.Profile.String() != w.profile || p.count != w.count {
			t.Errorf("pod %d: %+v, want %+v", i, p, w)
		}
	}
}
