package family_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/gpu"
)

const docsIntro = `# What /metrics tells

Written from the table of ` + "`exporter/family`" + `: ` + "`go test ./exporter/family -update`" + ` writes this page and the README's section.

Values are measured in the background; a scrape reads the newest set and calls nothing. A value older than three periods of
its loop is dropped and counted, never repeated. Loops: fast each second (` + "`metrics.interval`" + `), process each 2 s, slow each 15 s, static when the
layout or the driver changes.

**Names.** ` + "`metrics.profile: classic`" + ` has the names and units of dcgm-exporter up to 4.8, whatever DCGM or driver is there.
` + "`dcgm47`" + ` has those of dcgm-exporter 4.9, in base units, ` + "`both`" + ` has both during a migration. Names marked with ? are made like
their siblings': NVIDIA's own could not be confirmed. dcgm-exporter 4.9 also exports DCGM_FI_DEV_FB_CAPACITY_BYTES by default;
here a collectors file asks for it.

**Labels of DCGM's fields:** gpu, UUID, pci_bus_id, device, modelName, GPU_I_PROFILE and GPU_I_ID (of GPU instances), Hostname,
DCGM_FI_DRIVER_VERSION, container, namespace, pod. The last three are empty where no pod has the device.

**Divided GPUs.** What is of the GPU is there once for each GPU; what is of the instance once for each instance.
DCGM_FI_DEV_GPU_UTIL does not exist there: for instances it is DCGM_FI_PROF_GR_ENGINE_ACTIVE times 100, unless
` + "`metrics.synthesize`" + ` is off.

**Shared GPUs.** DCGM_FI_DEV_GPU_UTIL and DCGM_FI_DEV_FB_USED have one series for each pod, and one with empty pod labels for what
no pod explains: they add up to the device. Rules about devices therefore use ` + "`sum by (Hostname, gpu, UUID, GPU_I_ID)`" + `.

**XIDs.** gpu_xid_errors_total counts each code of each GPU, and under ` + "`xid=\"any\", class=\"any\"`" + ` all of a GPU's, from 0 on: sums over codes
leave that one out. A code's series begins with its first error, which increase() does not see; gpu_xid_last_timestamp_seconds
does not miss it.
`

const docsCollectors = `
## Collectors files

` + "`--collectors`" + ` takes dcgm-exporter's CSV files as they are: a field, a type and a help text on each line, parted by commas. Fields
have any name that NVIDIA gave them; ` + "`metrics.profile`" + ` decides under which they are exported. All fields of DCGM 4.6.1 are taken;
those that are not in the table above are of the whole GPU, and only DCGM has them. What dcgm-exporter knows and gpulet does
not export (NVSwitches, CPUs, vGPUs, single links, DCGM_EXP_*) is a warning that says what to use. What nobody knows is an error
with the line and the nearest name.
`

func absences() [][2]string {
	return [][2]string{
		{string(gpu.NotSupported), "this GPU, or this mode of it, does not have it"},
		{string(gpu.NoFunction), "the driver or DCGM's library is too old for it"},
		{string(gpu.NoPermission), "the agent may not read it"},
		{string(gpu.NoData), "nothing was measured yet"},
		{string(gpu.NoSource), "only DCGM has it, and DCGM is not there; profiling before Hopper is such"},
		{string(gpu.Stale), "the last value is older than three periods"},
		{string(gpu.Lost), "the GPU or the driver is out of reach; gpu_up is 0"},
		{string(gpu.NoAnswer), "the call does not return; gpu_up is 0 when none does"},
		{string(gpu.Failed), "another error; status has the text"},
		{string(gpu.Unattributed), "a shared device's use that cannot be told apart by pod; it is in gpu_unattributed_*"},
	}
}

func docs() string {
	var b strings.Builder
	b.WriteString(docsIntro)
	b.WriteString("\n## Families of gpulet's own\n\n| family | type | unit | labels | made of | meaning |\n|---|---|---|---|---|---|\n")
	for _, o := range family.OwnFamilies() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", o.Name, o.Type, o.Unit, strings.Join(o.Labels, ", "), strings.ReplaceAll(o.From, "*", `\*`), o.Help)
	}
	b.WriteString("\n## DCGM's fields\n\nNVML's column has the call (without nvmlDevice), FI with the field id or GPM with the metric id; without it only DCGM has the field.\n\n")
	b.WriteString("| classic | dcgm47 | type | unit | dcgm47 unit | of | default | loop | NVML | meaning |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, f := range family.Table() {
		later, on := "", ""
		if f.Later != f.Classic {
			later = f.Later
		}
		if f.Guess {
			later += " ?"
		}
		if f.Default {
			on = "yes"
		}
		unit := f.LaterUnit
		if unit == f.Unit {
			unit = ""
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", f.Classic, later, f.Type, f.Unit, unit, of(f.Level), on, loop(f.Loop),
			strings.ReplaceAll(f.NVML, "*", "×"), f.Help)
	}
	b.WriteString("\n## Why a value is not there\n\nA value that is not known has no series: never 0, never a blank value's number. gpu_field_unavailable counts it by field and\nreason, and /api/v1/status says for each GPU and field why.\n\n| reason | meaning |\n|---|---|\n")
	for _, a := range absences() {
		fmt.Fprintf(&b, "| %s | %s |\n", a[0], a[1])
	}
	b.WriteString(docsCollectors)
	return b.String()
}

func of(l family.Level) string {
	return map[family.Level]string{family.LevelGPU: "GPU", family.LevelInstance: "instance", family.LevelCompute: "instance"}[l]
}

func loop(l family.Loop) string {
	return map[family.Loop]string{family.Fast: "fast", family.Process: "process", family.Slow: "slow", family.Static: "static"}[l]
}

func readme() string {
	var b strings.Builder
	b.WriteString("\n| family | type | unit | meaning |\n|---|---|---|---|\n")
	for _, o := range family.OwnFamilies() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", o.Name, o.Type, o.Unit, o.Help)
	}
	for _, s := range family.Defaults() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", s.Classic, s.Type, s.Unit, s.Help)
	}
	b.WriteString("\n<details><summary>DCGM's fields that a collectors file can ask for beside those</summary>\n\n| family | type | unit | meaning |\n|---|---|---|---|\n")
	for _, f := range family.Table() {
		if !f.Default {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.Classic, f.Type, f.Unit, f.Help)
		}
	}
	return b.String() + "\n</details>\n\n"
}

// docs/metrics.md is what the table says.
func TestDocs(t *testing.T) {
	golden(t, "../../../docs/metrics.md", docs())
	if n := strings.Count(docs(), "\n| DCGM_FI_"); n != len(family.Table()) {
		t.Errorf("%d fields on the page, %d in the table", n, len(family.Table()))
	}
}

// The README's section between its markers is what the table says.
func TestReadme(t *testing.T) {
	const path, begin, end = "../../README.md", "<!-- metrics: written by go test ./exporter/family -update -->\n", "<!-- end of metrics -->"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	section, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s lacks the markers %q and %q", path, begin, end)
	}
	if section == readme() {
		fmt.Printf("PROOF 3.9: the README's section is the table's: %d families of gpulet's own, %d of DCGM's fields\n", len(family.OwnFamilies()), len(family.Table()))
		return
	}
	if !*update {
		t.Fatal("the README's metrics are not the table's; -update writes them")
	}
	if err := os.WriteFile(path, []byte(before+begin+readme()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
