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

const (
	bench       = "go run ./test/bench"
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
		{ID: "2.8d", CI: true, Command: bench, Promise: "CPU at rest", Bar: "0.5 % of a core, median of five"},
		{ID: "2.9a", CI: true, Command: conformance, Promise: "the simulation answers as nvml.h documents: a C program, and the real go-nvml for all that the product calls, on each driver branch", Bar: "every answer and error"},
		{ID: "2.9b", Command: "make fuzz FUZZTIME=60s", Promise: "fuzzers of configuration, profile names, /proc files and device ids", Bar: "60 s each without a finding"},
		{ID: "2.9c", Command: "go test -race -count 1 ./... && echo 'PROOF 2.9c: no race, no leaked goroutine'", Promise: "unit tests under the race detector with goleak", Bar: "none"},
	}
}
