package conformance

import (
	"debug/elf"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/test/gpusim/lib"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The simulated library is NVML to a C program by NVIDIA's header and to go-nvml, on five branches of the driver.
func TestConformance(t *testing.T) {
	var total counts
	add := func(c counts) { total.calls, total.errors = total.calls+c.calls, total.errors+c.errors }
	for _, c := range []struct{ shape, driver string }{{"dgx-a100", "550.54.15"}, {"hgx-h100", "550.54.15"}, {"hgx-h100", "580.65.06"}} {
		t.Run("header/"+c.shape+"/"+c.driver, func(t *testing.T) { add(header(t, c.shape, c.driver)) })
	}
	compared := []struct{ shape, driver string }{
		{"dgx-a100", "470.256.02"}, {"dgx-a100", "525.147.05"}, {"hgx-h100", "535.183.01"}, {"mixed", "550.54.15"}, {"hgx-b200", "580.65.06"},
	}
	var symbols []string
	for _, c := range compared {
		t.Run("go-nvml/"+c.driver, func(t *testing.T) { add(compare(t, c.shape, c.driver)) })
		t.Run("symbols/"+c.driver, func(t *testing.T) {
			symbols = append(symbols, fmt.Sprintf("%d in R%d", exports(t, model.BranchOf(c.driver)), model.BranchOf(c.driver)))
		})
	}
	if !t.Failed() {
		fmt.Printf("PROOF 2.9a: %d calls compared, %d of them errors, by a C program against nvml.h and through go-nvml; exported symbols: %s; %d branches\n",
			total.calls, total.errors, strings.Join(symbols, ", "), len(compared))
	}
}

// exports counts the functions of a branch's library and wants exactly those of its table, with the soname.
func exports(t *testing.T, branch model.Branch) int {
	path, err := lib.Build(t.Context(), branch)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	all, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range all {
		if s.Section != elf.SHN_UNDEF {
			got = append(got, s.Name)
		}
	}
	slices.Sort(got)
	want, err := lib.Symbols(branch)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%d symbols, want %d: %v", len(got), len(want), err)
	}
	if name, err := f.DynString(elf.DT_SONAME); err != nil || len(name) != 1 || name[0] != "libnvidia-ml.so.1" {
		t.Errorf("soname %q %v", name, err)
	}
	return len(got)
}

// Every function of NVIDIA's header is exported by the newest library; branches lack what came later.
func TestEveryFunction(t *testing.T) {
	newest, err := lib.Symbols(9999)
	if err != nil || len(newest) < 412 {
		t.Fatalf("%d functions, %v", len(newest), err)
	}
	for _, c := range []struct {
		branch model.Branch
		has    string
		lacks  string
	}{
		{470, "nvmlDeviceGetMigMode", "nvmlDeviceGetGpuInstanceProfileInfoV"},
		{525, "nvmlDeviceGetGpuInstanceProfileInfoV", "nvmlDeviceGetModuleId"},
		{535, "nvmlDeviceGetModuleId", "nvmlDeviceGetGpuFabricInfoV"},
		{550, "nvmlDeviceGetGpuFabricInfoV", "nvmlDeviceGetTemperatureV"},
		{580, "nvmlDeviceGetTemperatureV", "nvmlEventSetWait_v3"},
		{9999, "nvmlEventSetWait_v3", "nvmlNothing"},
	} {
		names, err := lib.Symbols(c.branch)
		if err != nil || !slices.Contains(names, c.has) || slices.Contains(names, c.lacks) {
			t.Errorf("R%d: %d names, %s, not %s: %v", c.branch, len(names), c.has, c.lacks, err)
		}
	}
}
