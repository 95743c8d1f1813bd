package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// atRest is the share of a core in percent that the agent takes while nothing happens, and its private memory in MiB after that.
func (b *bed) atRest(ctx context.Context, d time.Duration) (share, mib float64, err error) {
	wait := func(d time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	if d > 0 {
		wait(5 * time.Second) // the start is over
	}
	before, err := cpuTime(b.agent.PID())
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	wait(d)
	after, err := cpuTime(b.agent.PID())
	if err != nil {
		return 0, 0, err
	}
	share = 100 * (after - before).Seconds() / time.Since(began).Seconds()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.agent.PID()))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "RssAnon:" {
			kib, err := strconv.ParseFloat(f[1], 64)
			return share, kib / 1024, err
		}
	}
	return 0, 0, fmt.Errorf("/proc/%d/status has no RssAnon", b.agent.PID())
}

// cpuTime is what a process has used so far, to the nanosecond (/proc/PID/schedstat counts one thread, so all are added).
func cpuTime(pid int) (time.Duration, error) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, t := range tasks {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", pid, t.Name()))
		if err != nil {
			continue // the thread has ended
		}
		ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}
