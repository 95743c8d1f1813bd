package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/exporter/family"
)

// A collectors file says what is exported; a mistake in it is told with its line, and what was exported goes on.
func TestCollectorsFile(t *testing.T) {
	c := newCollectorsFile(slog.New(slog.DiscardHandler))
	path := filepath.Join(t.TempDir(), "counters.csv")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	names := func(in []family.Selected) string {
		var out []string
		for _, s := range in {
			out = append(out, s.Classic)
		}
		return strings.Join(out, " ")
	}
	defaults := names(family.Defaults())
	if got := names(c.read("")); got != defaults {
		t.Errorf("without a file: %s", got)
	}
	if got := names(c.read(path)); got != defaults || c.sources()[0].OK {
		t.Errorf("with a file that is missing: %s, %+v", got, c.sources())
	}
	write("# mine\nDCGM_FI_DEV_GPU_UTIL, gauge, busy\n")
	const mine = "DCGM_FI_DEV_GPU_UTIL"
	if got := names(c.read(path)); got != mine || !c.sources()[0].OK {
		t.Errorf("with a file: %s, %+v", got, c.sources())
	}
	write("DCGM_FI_DEV_GPU_TEMP, gauge, warm\nDCGM_FI_DEV_GPU_UTLI, gauge, busy\n")
	if got := names(c.read(path)); got != mine || c.sources()[0].OK || !strings.Contains(c.sources()[0].Reason, path+":2:") {
		t.Errorf("with a mistake: %s, %+v", got, c.sources())
	}
	if got := c.read(path); names(got) != mine || c.sources()[0].OK {
		t.Error("the second look forgot the mistake")
	}
	if got := names(c.read("")); got != defaults || len(c.sources()) > 0 {
		t.Errorf("without the file again: %s", got)
	}
}
