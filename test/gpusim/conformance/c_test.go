package conformance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gpulet/gpulet/test/gpusim/daemon"
	"github.com/gpulet/gpulet/test/gpusim/lib"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// program compiles the C program against NVIDIA's header and links it with a node's library.
func program(t *testing.T, n *sim.Node) string {
	t.Helper()
	include, err := lib.HeaderDir(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("testdata/*.c")
	if err != nil || len(sources) == 0 {
		t.Fatalf("%v %v", sources, err)
	}
	out := filepath.Join(n.Dir, "conformance")
	args := append([]string{"-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wno-deprecated-declarations", "-I", include, "-o", out}, sources...)
	if text, err := exec.CommandContext(t.Context(), "gcc", append(args, n.Library())...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

// play runs the program and does what it asks for. It gives the calls and the errors that it compared.
func play(t *testing.T, n *sim.Node, binary string, uid uint32, args ...string) (calls, errs int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Dir(n.Library()))
	if n.Model.DriverVersion() < "580" {
		cmd.Env = append(cmd.Env, "OLD=1")
	}
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	failures := -1
	for lines := bufio.NewScanner(out); lines.Scan(); {
		text := lines.Text()
		if action, ok := strings.CutPrefix(text, "act "); ok {
			reply := "done"
			var c daemon.Command
			if err := json.Unmarshal([]byte(action), &c); err != nil {
				reply = err.Error()
			} else if _, err := n.Do(t.Context(), c); err != nil {
				reply = err.Error()
			}
			if _, err := io.WriteString(in, reply+"\n"); err != nil {
				t.Error(err)
			}
			continue
		}
		if _, err := fmt.Sscanf(text, "calls %d errors %d failures %d", &calls, &errs, &failures); err != nil {
			t.Error(text)
		}
	}
	if err := cmd.Wait(); err != nil || failures != 0 {
		t.Errorf("%v, %d failures", err, failures)
	}
	return calls, errs
}

// header runs the C program on a node, as root and as a user without privileges.
func header(t *testing.T, shape, driver string) counts {
	n := sim.New(t, sim.Options{Shape: shape, Driver: driver})
	binary := program(t, n)
	calls, errs := play(t, n, binary, 0, "all", "1")
	if os.Getuid() == 0 {
		more, others := play(t, n, binary, 65534, "user", "1") // the walk leaves MIG mode on with one instance
		calls, errs = calls+more, errs+others
	}
	t.Logf("%d calls compared, %d of them errors", calls, errs)
	return counts{calls, errs}
}
