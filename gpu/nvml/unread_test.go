package nvml

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/gpu"
)

// What a driver fails to read is told as unread, and not as zero.
func TestUnread(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFailing$", "-test.v")
	cmd.Env = append(os.Environ(), libraryEnv+"="+build(t, "580", "580.65.06"), "STUB_FAILS=1", "GORACE=atexit_sleep_ms=0")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestFailing") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFailing(t *testing.T) {
	d := driver(t)
	if err := d.Open(); err != nil {
		t.Fatal(err)
	}
	g, err := d.GPU(0)
	if err != nil {
		t.Fatal(err)
	}
	c, gaps, err := g.Condition()
	if want := (gpu.Unread{Uncorrected: true, Remap: true, Recovery: true, Fabric: true}); err != nil || c.Unread != want || len(gaps) != 4 {
		t.Errorf("%+v %v %v", c, gaps, err)
	}
	geometry, _, err := g.Geometry()
	if err != nil {
		t.Fatal(err)
	}
	if l, gaps, err := g.Layout(geometry); err != nil || len(l.Unread) != len(geometry.Profiles) || len(gaps) == 0 {
		t.Errorf("%+v %v %v", l, gaps, err)
	}
}
