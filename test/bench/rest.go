package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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
	before, err := cpuTime(b.processes())
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	wait(d)
	pids := b.processes()
	after, err := cpuTime(pids)
	if err != nil {
		return 0, 0, err
	}
	share = 100 * (after - before).Seconds() / time.Since(began).Seconds()
	for _, pid := range pids {
		own, err := private(pid)
		if err != nil {
			return 0, 0, err
		}
		mib += own
	}
	return share, mib, nil
}

// processes are the agent and what it started: DCGM's worker.
func (b *bed) processes() []int {
	out := []int{b.agent.PID()}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", b.agent.PID()))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}

// private is a process's private memory in MiB.
func private(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "RssAnon:" {
			kib, err := strconv.ParseFloat(f[1], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no RssAnon", pid)
}

// cpuTime is what processes have used so far, to the nanosecond (/proc/PID/schedstat counts one thread, so all are added).
func cpuTime(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return 0, err
		}
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
	}
	return sum, nil
}
