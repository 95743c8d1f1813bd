package process

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"testing"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// eightInSlices are eight A100 in seven slices each.
func eightInSlices() model.Shape {
	return model.Shape{Name: "slices", Driver: "550.54.15", GPUs: []model.GPUShape{
		{Model: "a100-80", Count: 8, MIG: true, Instances: instances(slices.Repeat([]string{"1g.10gb"}, 7)...)},
	}}
}

// A person scrapes a full node: every GPU and slice is on the page, everybody's parser reads it, and the linter has nothing to say.
func TestScrape(t *testing.T) {
	t.Parallel()
	n := beginDCGM(t, wanted{hardware: eightInSlices()}, "")
	for g := range 8 {
		if err := n.sim.SetLoad(t.Context(), sim.Whole(g), model.Load{Kind: "constant", Level: 40}); err != nil {
			t.Fatal(err)
		}
	}
	n.measured()
	pod, _ := n.runs(slice, 1)
	p := n.awaitPage("all slices", func(p page) bool {
		return len(p.series("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "")) == 56 && len(p.series("DCGM_FI_DEV_GPU_UTIL", "pod="+pod.Name)) == 1
	})
	for family, want := range map[string]int{
		"gpu_up": 8, "DCGM_FI_DEV_GPU_TEMP": 8, "DCGM_FI_DEV_POWER_USAGE": 8, "DCGM_FI_DEV_FB_USED": 56, "DCGM_FI_DEV_GPU_UTIL": 56,
	} {
		if got := len(p.series(family, "")); got != want {
			t.Errorf("%s has %d series, not %d", family, got, want)
		}
	}
	lint := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	var own, series []byte
	for line := range bytes.Lines(p.text) {
		if name := bytes.TrimPrefix(bytes.TrimPrefix(line, []byte("# HELP ")), []byte("# TYPE ")); bytes.HasPrefix(name, []byte("gpu_")) {
			own = append(own, line...)
		}
		if line[0] != '#' {
			series = append(series, '.')
		}
	}
	lint.Stdin = bytes.NewReader(own)
	if out, err := lint.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
	fmt.Printf("PROOF 3.1a: %d series of %d families parse; promtool finds nothing in gpulet's own; Prometheus itself reads the page as OpenMetrics in 3.2\n", len(series), len(p.families))
}

// The driver hands over one event where three codes came together, and the same code comes twice: each is counted.
func TestXIDBurst(t *testing.T) {
	t.Parallel()
	n := begin(t, wanted{hardware: threeGPUs()})
	n.measured()
	n.awaitPage("the counters", func(p page) bool { return len(p.series("gpu_xid_errors_total", "xid=any")) == 3 })
	if err := n.sim.CollapseXIDs(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	for _, code := range []uint64{13, 31, 43, 31} {
		if err := n.sim.XID(t.Context(), sim.Whole(0), code); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]float64{"13": 1, "31": 2, "43": 1, "any": 4}
	p := n.awaitPage("all four", func(p page) bool {
		for code, count := range want {
			if s := p.series("gpu_xid_errors_total", "gpu=0,xid="+code); len(s) != 1 || number(s[0]) != count {
				return false
			}
		}
		return true
	})
	if s := p.series("DCGM_FI_DEV_XID_ERRORS", "gpu=0"); len(s) != 1 || number(s[0]) != 31 {
		t.Errorf("the last code is %v, not 31", s)
	}
	fmt.Printf("PROOF 3.5a: codes 13, 31, 43 and 31 again, told by the driver as fewer events, are counted as %v\n", want)
}
