package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// result is a row with what was measured for it.
type result struct {
	row
	Figure, Holds, Commit, Date string
}

// orOpen keeps an earlier result of the row, or says that there is none.
func (res *result) orOpen(r row) result {
	if res != nil && res.Command == r.Command {
		kept := *res
		kept.row = r
		return kept
	}
	why := r.Open
	if why == "" {
		why = "not measured yet"
	}
	return result{row: r, Figure: why, Holds: "open"}
}

const heading = `# Proofs

Written by ` + "`make prove`" + `, never by hand. Each row is a promise of gpulet, the command that measures it, what it
printed, and the bar. Hardware is simulated under NVIDIA's C ABI; the kubelet, containerd, API server and scheduler are real
where a row says "cluster".

| id | promise | command | figure | bar | holds | commit | date |
|---|---|---|---|---|---|---|---|
`

func render(results []result) []byte {
	var b bytes.Buffer
	b.WriteString(heading)
	for _, r := range results {
		command := ""
		if r.Command != "" {
			command = "`" + r.Command + "`"
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(escape(r.ID, r.Promise, command, r.Figure, r.Bar, r.Holds, r.Commit, r.Date), " | "))
	}
	return b.Bytes()
}

// escape keeps a cell from ending its column.
func escape(cells ...string) []string {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	return cells
}

// readReport reads the rows of an earlier run by id; no file is no rows.
func readReport(path string) (map[string]*result, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	old := map[string]*result{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.ReplaceAll(strings.TrimSpace(line), `\|`, "\x00"), " | ")
		if len(cells) != 8 || cells[0] == "| id" {
			continue
		}
		for i, c := range cells {
			cells[i] = strings.ReplaceAll(c, "\x00", "|")
		}
		r := &result{row: row{ID: strings.TrimPrefix(cells[0], "| "), Command: strings.Trim(cells[2], "`")}, Figure: cells[3], Holds: cells[5], Commit: cells[6], Date: strings.TrimSuffix(cells[7], " |")}
		old[r.ID] = r
	}
	return old, nil
}
