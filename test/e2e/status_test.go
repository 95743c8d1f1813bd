//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/agent"
)

// status asks the node's agent, as `gpulet status` does. With two agents it is the one that came last.
func (m *machine) status(t *testing.T) agent.Status {
	t.Helper()
	dir, err := os.Open(m.HostPath("/run/gpulet")) // a socket's path has 108 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := agent.Client{Socket: agent.Socket(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))}.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lockHolders counts the processes that hold the lock of the node's state.
func (m *machine) lockHolders(t *testing.T) (n int) {
	t.Helper()
	out, err := m.Run(t.Context(), "sh", "-c", "stat -c %i /var/lib/gpulet/lock; cat /proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	inode, locks, _ := strings.Cut(out, "\n")
	for line := range strings.Lines(locks) {
		if strings.Contains(line, ":"+inode+" ") && strings.Contains(line, "WRITE") && !strings.Contains(line, "->") {
			n++
		}
	}
	return n
}

// modified is when a file was made anew; zero while there is none.
func modified(path string) time.Time {
	st, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return st.ModTime()
}
