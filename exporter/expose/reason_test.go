package expose_test

import (
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/xid"
)

// The same trouble on two days has the same reason in gpu_health: a time or a count in it would begin a new series each time.
func TestReasonsAreFew(t *testing.T) {
	policy := gpu.HealthPolicy{CleanProbes: 3, Spacing: time.Second, Quarantine: time.Minute, XIDs: xid.New(nil, nil)}
	for name, c := range map[string]struct {
		event uint64
		probe gpu.Probe
		want  string
	}{
		"lost":    {probe: gpu.Probe{Err: gpu.ErrLost}, want: "the GPU is lost to the driver"},
		"silent":  {probe: gpu.Probe{Err: &gpu.StuckError{Stuck: gpu.Stuck{Call: "ReadLayout", Since: now()}}}, want: "no answer from the driver"},
		"failing": {probe: gpu.Probe{Err: errors.New("error 999 at 0x12")}, want: "the driver does not read this GPU"},
		"remap":   {probe: gpu.Probe{Condition: gpu.Condition{RemapFailed: true}}, want: "a faulty memory row could not be replaced"},
		"xid":     {event: 79, want: "XID 79: " + xid.New(nil, nil).Lookup(79).Name},
	} {
		t.Run(name, func(t *testing.T) {
			for day := range 2 {
				m := gpu.NewMachine(policy, nil)
				at := now().AddDate(0, 0, day).Add(time.Duration(day) * time.Minute)
				if c.event != 0 {
					m.Event(at, gpu.Event{Kind: gpu.EventXID, XID: c.event, GPUInstance: gpu.NoInstance, ComputeInstance: gpu.NoInstance})
				}
				if c.probe.At = at; c.event == 0 {
					m.Observe(c.probe)
				}
				set, o := example()
				set.Snapshot.GPUs[1].Health = m.GPU()
				want := map[string]string{"gpu": "1", "state": m.GPU().State.String(), "reason": c.want}
				if m.GPU().State == gpu.Healthy {
					t.Fatal("the machine is healthy")
				}
				families := gather(t, gatherer(set, o))
				if got := find(t, families, "gpu_health", want); len(got) != 1 {
					t.Errorf("%q shows as %v", m.GPU().Reason, series(t, families, "gpu_health"))
				}
			}
		})
	}
}

// A slice is no healthier than its GPU, and a long reason is cut.
func TestHealthOfSlices(t *testing.T) {
	set, o := example()
	set.Snapshot.GPUs[0].Health = gpu.Health{State: gpu.Draining, Reason: "3 uncorrectable memory errors at 12:00:00 UTC; probes decide"}
	set.Snapshot.GPUs[0].Instances[1].Health = gpu.Health{State: gpu.Unhealthy, Reason: fmt.Sprintf("%0200d é", 0) + "x"}
	set.Snapshot.GPUs[1].Health = gpu.Health{State: gpu.Unhealthy, Reason: "aé" + string(make([]byte, 300)) + "é"}
	families := gather(t, gatherer(set, o))
	for id, state := range map[string]string{"": "Draining", "7": "Draining", "8": "Unhealthy"} {
		if got := find(t, families, "gpu_health", map[string]string{"gpu": "0", "GPU_I_ID": id, "state": state}); len(got) != 1 {
			t.Errorf("instance %q is not %s", id, state)
		}
	}
	if got := find(t, families, "gpu_health", map[string]string{"gpu": "0", "reason": "uncorrectable memory errors"}); len(got) != 2 {
		t.Error(series(t, families, "gpu_health"))
	}
	for _, line := range series(t, families, "gpu_health") {
		if long := regexp.MustCompile(`reason="[^"]{81}`).FindString(line); long != "" {
			t.Errorf("a long reason: %s", line)
		}
	}
}
