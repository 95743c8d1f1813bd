package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// Each command of ctl does its action on a node that another program serves.
func TestControl(t *testing.T) {
	n := sim.New(t, sim.Options{Shape: "hgx-h100"})
	ctl := func(line string) (string, error) {
		c := command()
		var out bytes.Buffer
		c.Writer, c.ErrWriter = &out, &out
		err := c.Run(t.Context(), append([]string{"gpusim", "ctl", "--root", n.Dir}, strings.Fields(line)...))
		return strings.TrimSpace(out.String()), err
	}
	for _, line := range []string{
		"status", "calls", "mig mode 0 on", "mig create 0 3g.40gb 4", "leak 0/1", "drop-leaks 0", "process start --pid 77 --memory 5 0/1/0", "process stop 77",
		"mig destroy 0/1", "mig create --bare 0 1g.10gb 2", "mig destroy 0/7", "slow-changes --mode 1ms --create 1ms", "hold --call change --pid 1 --at 2 --after", "release 1", "release 2", "await-hold 2", "fail --call change --gpu 3 --at 3 --after 999", "load 1 --level 50", "load --kind ramp --level 90 --period 1s 1", "load --kind none 1", "xid 0 79", "ecc --uncorrected --count 3 1", "lost 2", "lost --off 2", "hang --init 3",
		"unhang 3", "fail --call nvmlDeviceGetName --at 2 --times 1 15", "fail gpu_is", "latency --delay 1ms --call nvmlDeviceGetName", "remap --pending 1", "recovery 1 2",
		"nvlink 1 4", "nvlink --off 1 4", "clear all", "reset 2", "collapse", "collapse --off", "dcgm start", "dcgm start 4.5.2", "dcgm stop", "dcgm fail slow --delay 1ms", "dcgm fail nonsense", "dcgm field 150 stale", "dcgm field 150 odd", "dcgm clear", "unload --force", "load-driver 580.65.06", "reboot", "mig mode 0 maybe", "xid 99 1", "mig destroy 0",
	} {
		out, err := ctl(line)
		bad := strings.HasSuffix(line, "maybe") || line == "xid 99 1" || line == "mig destroy 0" || line == "fail gpu_is" || line == "release 2" || line == "await-hold 2" || line == "dcgm start 4.5.2" || line == "dcgm fail nonsense" || line == "dcgm field 150 odd"
		if (err != nil) != bad {
			t.Errorf("%s: %v %s", line, err, out)
		}
		switch {
		case strings.HasPrefix(line, "hold") && out != "1", line == "status" && !strings.Contains(out, `"shape": "hgx-h100"`), strings.HasPrefix(line, "process start") && out != "77", strings.HasPrefix(line, "mig create 0") && !strings.HasPrefix(out, "1 MIG-"):
			t.Errorf("%s prints %s", line, out)
		}
		if line == "load 1 --level 50" && busy(t, n.Model) < 40 {
			t.Errorf("%s: %d percent", line, busy(t, n.Model))
		}
	}
	if n.Model.DriverVersion() != "580.65.06" {
		t.Error(n.Model.DriverVersion())
	}
}

// busy is GPU 1's utilization.
func busy(t *testing.T, n *model.Node) uint32 {
	c := n.Connect(model.Caller{})
	defer c.Close()
	_ = c.InitWithFlags(t.Context(), 0)
	d, _ := c.DeviceGetHandleByIndex(t.Context(), 1)
	u, _ := c.DeviceGetUtilizationRates(t.Context(), d)
	return u.GPU
}
