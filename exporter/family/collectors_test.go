package family_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/exporter/family"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what it was; -update writes it\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Who brings dcgm-exporter's default file gets what there is without a file, with the file's help texts.
func TestStockFile(t *testing.T) {
	got, warnings, err := family.ParseCollectors("stock.csv", read(t, "stock.csv"))
	if err != nil || len(warnings) != 0 {
		t.Fatalf("%v, %v", warnings, err)
	}
	if i := slices.IndexFunc(got, func(s family.Selected) bool { return s.Field == 1009 }); i < 0 || got[i].Help != "sent, in bytes per second" {
		t.Errorf("the quoted help of field 1009 is lost: %+v", got)
	}
	key := func(s family.Selected) string { return fmt.Sprint(s.Field, s.Type) }
	want := map[string]bool{}
	for _, s := range family.Defaults() {
		want[key(s)] = true
	}
	for _, s := range got {
		if !want[key(s)] {
			t.Errorf("%s as a %s is not among the defaults", s.Classic, s.Type)
		}
		delete(want, key(s))
	}
	if len(want) != 0 {
		t.Errorf("defaults that the file does not give: %v", want)
	}
}

// What dcgm-exporter takes is taken; what becomes of each odd line is said.
func TestOddLines(t *testing.T) {
	got, warnings, err := family.ParseCollectors("odd.csv", read(t, "odd.csv"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, w := range warnings {
		fmt.Fprintln(&b, w)
	}
	for _, s := range got {
		fmt.Fprintf(&b, "%d %s / %s: %s, %s\n", s.Field, s.Classic, s.Later, s.Type, s.Help)
	}
	golden(t, "odd.golden", b.String())
}

// All that is wrong is said at once, by line.
func TestWrongLines(t *testing.T) {
	got, _, err := family.ParseCollectors("wrong.csv", read(t, "wrong.csv"))
	var wrong family.CollectorsError
	if !errors.As(err, &wrong) || got != nil {
		t.Fatalf("%v with %v", err, got)
	}
	golden(t, "wrong.golden", err.Error()+"\n")
}

func TestEmptyFileIsWrong(t *testing.T) {
	for _, data := range []string{"", "# only comments\n", "\n\n,,\n"} {
		if _, _, err := family.ParseCollectors("x.csv", []byte(data)); err == nil {
			t.Errorf("%q is taken", data)
		}
	}
	// A file whose every line is known to dcgm-exporter but not to us selects nothing, and says so.
	if _, w, err := family.ParseCollectors("x.csv", []byte("DCGM_EXP_P2P_STATUS, gauge, x")); err == nil || len(w) != 1 {
		t.Errorf("%v, %v", w, err)
	}
}

func FuzzParseCollectors(f *testing.F) {
	for _, name := range []string{"stock.csv", "odd.csv", "wrong.csv"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("\xef\xbb\xbfDCGM_FI_DEV_GPU_UTIL,gauge,\"a \"\"quoted\"\" help\"\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, warnings, err := family.ParseCollectors("f.csv", data)
		if (err == nil) != (len(got) > 0) {
			t.Fatalf("%d fields with the error %v", len(got), err)
		}
		lines := strings.Count(string(data), "\n") + 1
		var wrong family.CollectorsError
		if err != nil && !errors.As(err, &wrong) {
			t.Fatalf("an error of another kind: %v", err)
		}
		for _, p := range slices.Concat(warnings, wrong) {
			if p.Line < 1 || p.Line > lines || p.Text == "" {
				t.Fatalf("%q is about line %d of %d", p.Text, p.Line, lines)
			}
		}
		seen := map[string]bool{}
		for _, s := range got {
			if seen[s.Classic] {
				t.Fatalf("%s is there twice", s.Classic)
			}
			seen[s.Classic] = true
			if s.Type != family.Gauge && s.Type != family.Counter && s.Type != family.Label {
				t.Fatalf("%s is a %q", s.Classic, s.Type)
			}
		}
	})
}
