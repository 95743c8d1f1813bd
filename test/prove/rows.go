package main

// row is one promise. A row without a command is open, with the reason in Open.
type row struct {
	ID, Promise, Command, Bar string
	// CI marks what fits into the time of .ci/run.
	CI   bool
	Open string
}

// e2e is the command of a test on the real cluster.
func e2e(run string) string {
	return "go test -tags e2e -count 1 -timeout 60m -v -run '^" + run + "$' ./test/e2e"
}

// process is the command of a test of the real program on simulated hardware.
func process(run string) string { return "go test -count 1 -v -run '^" + run + "$' ./test/process" }

const (
	bench       = "go run ./test/bench"
	scrapes     = "go run ./test/bench --metrics"
	exposition  = "go test -count 1 -v ./exporter/expose"
	conformance = "go test -count 1 -v ./test/gpusim/conformance"
)

// rows are the promises of each issue in its order: the number is the issue's, then the line's under "It must show".
func rows() []row {
	return []row{
		{ID: "2.1a", CI: true, Command: e2e("TestStrategies"), Promise: "cluster: pods that ask for nvidia.com/gpu, nvidia.com/mig-1g.10gb and a time-sliced replica run, under each MIG strategy", Bar: "every container has exactly the nodes, environment and mounts of its devices in podresources"},
		{ID: "2.1b", CI: true, Command: e2e("TestBestPair"), Promise: "cluster: two GPUs for one pod are the best-connected pair", Bar: "each time"},
		{ID: "2.2a", Command: e2e("TestRestarts"), Promise: "cluster: kubelet restarted 10 times, agent killed 10 times, both at once, the socket directory replaced, the API server away for a minute", Bar: "no container of a running pod touched; allocatable right 5 s after all answer; no device twice or missing"},
		{ID: "2.2b", CI: true, Command: e2e("TestRegistrationTime"), Promise: "cluster: all resources are registered soon after kubelet.sock appears", Bar: "100 ms, median of five; CI: ten times that"},
		{ID: "2.2c", Command: e2e("TestLostPods"), Promise: "cluster: waiting, init and back-off pods that a kubelet restart loses, beside a plain plugin's", Bar: "counted; not more than the plain plugin's"},
		{ID: "2.2d", Command: e2e("TestAgentAway"), Promise: "cluster: agent away for 10 minutes: waiting containers start after its return", Bar: "20 s"},
		{ID: "2.3a", Command: e2e("TestFlips"), Promise: "cluster: 500 pods of two competing renamed resources while offers flip between them", Bar: "none Failed"},
		{ID: "2.3b", Command: e2e("TestLateSpecs"), Promise: "cluster: 1,000 container starts whose CDI spec is written late", Bar: "all run; those that did not resolve at first are counted"},
		{ID: "2.4", CI: true, Command: e2e("TestFaults"), Promise: "cluster: a lost GPU, a hung GPU, XID 79, 48, 94, 31 and 13, a pending row remap, a GPU with unknown profiles", Bar: "only the devices concerned change; in use ones stay listed Unhealthy; others are admitted meanwhile; it returns; status says why"},
		{ID: "2.5", CI: true, Command: "go test -count 1 -v -run '^TestDrivers$' ./test/process", Promise: "each simulated driver version from 470 to 580 serves what it can", Bar: "no process ends; each missing feature has a reason"},
		{ID: "2.6", CI: true, Command: e2e("TestAdministrator"), Promise: "cluster: an administrator changes a GPU's layout while pods run on others: offers follow, nothing restarts", Bar: "5 s"},
		{ID: "2.7a", Command: e2e("TestPodStates"), Promise: "cluster: pods in the pending, init, restarting and terminating states, sidecars, init-only GPU containers and a container that restarts 50 times keep their device", Bar: "no device given twice, none lost"},
		{ID: "2.7b", CI: true, Command: e2e("TestReplacedConfiguration"), Promise: "cluster: a replaced configuration (whole to shared) does not double-book", Bar: "no GPU in use under two names"},
		{ID: "2.7c", Command: e2e("TestTwoAgents"), Promise: "cluster: two agents overlap ten times", Bar: "never fewer allocatable devices, never two writers"},
		{ID: "2.8a", CI: true, Command: bench, Promise: "Allocate and GetPreferredAllocation at 8 GPUs x 7 slots and at 16 GPUs x 10 replicas with NVML hung", Bar: "handler p99 at most 1 ms; the call over the socket as a ratio to an empty RPC"},
		{ID: "2.8b", CI: true, Command: bench, Promise: "start to registered", Bar: "2 s, median of five"},
		{ID: "2.8c", CI: true, Command: bench, Promise: "private memory (RssAnon)", Bar: "48 MiB, median of five"},
		{ID: "2.8d", CI: true, Command: bench, Promise: "CPU at rest, without metrics", Bar: "0.5 % of a core, median of five"},
		{ID: "2.9a", CI: true, Command: conformance, Promise: "the simulation answers as nvml.h documents: a C program, and the real go-nvml for all that the product calls, on each driver branch", Bar: "every answer and error"},
		{ID: "2.9b", Command: "make fuzz FUZZTIME=60s", Promise: "fuzzers of configuration, profile names, /proc files and device ids", Bar: "60 s each without a finding"},
		{ID: "2.9c", Command: "go test -race -count 1 ./... && echo 'PROOF 2.9c: no race, no leaked goroutine'", Promise: "unit tests under the race detector with goleak", Bar: "none"},

		{ID: "3.1a", CI: true, Command: process("TestScrape"), Promise: "a scrape of 8 simulated A100 in 7 slices each parses, and promtool finds nothing in the new families", Bar: "every series"},
		{ID: "3.1b", CI: true, Command: exposition, Promise: "each profile has a golden page", Bar: "byte by byte"},
		{ID: "3.2", CI: true, Command: e2e("TestPrometheus"), Promise: "cluster: Prometheus scrapes the agent with the shipped configuration, and a query by a workload's namespace and pod returns that pod's series", Bar: "whole GPU and slice; no exported_pod"},
		{ID: "3.3", CI: true, Command: e2e("TestPrometheus"), Promise: "cluster: every expression of dashboard 12239 and of the MIG board returns data from that Prometheus", Bar: "every one"},
		{ID: "3.4a", CI: true, Command: e2e("TestSharedGPU"), Promise: "cluster: two pods on one time-sliced GPU with loads of 60 and 20 %", Bar: "within 5 points each; remainder right; the parts sum to the device"},
		{ID: "3.4b", CI: true, Command: e2e("TestSharedGPU"), Promise: "cluster: the same with processes that nobody can tell", Bar: "unattributed, not 0"},
		{ID: "3.5a", CI: true, Command: process("TestXIDBurst"), Promise: "three XIDs inside one wait, and the same one twice, are all counted", Bar: "every one"},
		{ID: "3.5b", CI: true, Command: process("TestEngineRestart"), Promise: "DCGM's host engine is killed and started again: its series end within three periods and return by themselves", Bar: "no scrape fails or takes longer than 50 ms; CI: ten times that"},
		{ID: "3.5c", CI: true, Command: process("TestBrokenDCGM"), Promise: "a libdcgm that lacks symbols, crashes, leaks or hangs", Bar: "the agent's process and its other series are unaffected"},
		{ID: "3.6a", CI: true, Command: scrapes, Promise: "time of a scrape of 8 GPUs x 7 slices x all default families, as Prometheus scrapes", Bar: "p99 at most 10 ms, median of five; CI: ten times that"},
		{ID: "3.6b", CI: true, Command: scrapes, Promise: "driver calls", Bar: "at most 6 a second for each GPU and instance"},
		{ID: "3.6c", Command: scrapes + " --changes 1000", Promise: "private memory of the whole agent over 10,000 scrapes and 1,000 layout changes", Bar: "at most 64 MiB, no growth"},
		{ID: "3.7", Command: "test/fuzz.sh 60s 3.7 ./exporter/... ./kubelet/...", Promise: "fuzzers of the collectors file, label values, cgroup paths and podresources answers", Bar: "60 s each without a finding"},
		{ID: "3.8", CI: true, Command: `make run ONCE=1 | awk '{print} /gpu_pod_utilization_ratio\{/ {n++} /came out right/ {ok=1} END {if (!ok || n < 5) exit 1; print "PROOF 3.8: " n " lines of gpu_pod_utilization_ratio, and those of memory, GPU_UTIL and allocated seconds, of every pod that runs"}'`, Promise: "make run ends with the metric lines of the pods that it ran", Bar: "every pod"},
		{ID: "3.9", CI: true, Command: "go test -count 1 -v ./exporter/family", Promise: "README's metrics section is generated from the table of families, and docs/metrics.md has every family with type, unit and meaning", Bar: "no difference"},
	}
}
