package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/faulttest"
	"github.com/posetest/suite/posetest/measure"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func diskFaults() []fault {
	return []fault{
		{"a full disk under the report of a run", noOtherLost, fullDiskAfterARun},
		{"a disk that is full part-way through a report", filesWhole, fullDiskInAReport},
		{"a report's folder that may only be read", clearError, readOnlyOut},
		{"a cache that may only be read", noOtherLost, readOnlyCache},
		{"a full disk under derived models", clearError, func(t *testing.T, was reported) { derivedOn(t, was, faulttest.Disk{}) }},
		{"derived models that may only be read", clearError, func(t *testing.T, was reported) { derivedOn(t, was, faulttest.Disk{ReadOnly: true}) }},
		{"temporary files that may only be read", clearError, readOnlyTemporary},
		{"a full disk under COCO's detections", filesWhole, fullDetections},
		{"COCO's detections that may only be read", clearError, readOnlyDetections},
		{"a full disk under the gate's history", filesWhole, func(t *testing.T, was reported) { historyOn(t, was, faulttest.Disk{}) }},
		{"a gate's history that may only be read", clearError, func(t *testing.T, was reported) { historyOn(t, was, faulttest.Disk{ReadOnly: true}) }},
	}
}

const (
	pageSize = 4096
	thereOut = "make room there, or choose a folder that can be written"
)

// What the cells did is printed, where it can't be written.
func fullDiskAfterARun(t *testing.T, was reported) {
	out, before := oldReport(t)
	r := was.report(t, out)
	disk := faulttest.Disk{Dir: out}
	seen := disk.Under(t, r.Cmd)
	require.Equal(t, 2, r.exit(t))
	assert.Contains(t, r.out.String(), "2 cells: 1 loads, 1 wrong; all as expected.")
	assert.Regexp(t, `^--out: write `+out+`/[a-z.]+: `+disk.Words()+`; the report before is as it was, and this one is printed: `+thereOut+`$`, r.sentence(t))
	assert.Equal(t, before, folder(t, seen))
}

// Wherever room ends, the report is the old one, all three files; and with enough of it the new one.
func fullDiskInAReport(t *testing.T, was reported) {
	pages := func(text string) int64 { return int64(len(text)+pageSize-1) / pageSize }
	var largest, all int64
	for _, text := range was.files {
		largest, all = max(largest, pages(text)), all+pages(text)
	}
	require.Greater(t, largest, int64(3), "pages of the largest file of a report")
	for _, room := range []int64{0, 1, largest / 2, largest - 1, all} {
		t.Run(fmt.Sprintf("pages=%d", room), func(t *testing.T) {
			out, before := oldReport(t)
			r := was.again(t, out)
			disk := faulttest.Disk{Dir: out, Room: room * pageSize}
			seen := disk.Under(t, r.Cmd)
			if room == all {
				require.Equal(t, 0, r.exit(t), r.err.String())
				wholeReport(t, seen)
				return
			}
			require.Equal(t, 2, r.exit(t))
			assert.Contains(t, r.out.String(), "all as expected.")
			for _, words := range []string{"--out: write " + out, disk.Words(), thereOut} {
				assert.Contains(t, r.sentence(t), words)
			}
			assert.Equal(t, before, folder(t, seen))
		})
	}
}

func readOnlyOut(t *testing.T, was reported) {
	out, before := oldReport(t)
	r := was.report(t, out)
	disk := faulttest.Disk{Dir: out, ReadOnly: true}
	seen := disk.Under(t, r.Cmd)
	require.Equal(t, 2, r.exit(t))
	assert.Empty(t, r.out.String(), "nothing was run for it")
	assert.Equal(t, "--out: write into "+out+": "+disk.Words()+"; "+thereOut, r.sentence(t))
	assert.Equal(t, before, folder(t, seen))
}

// A cache that holds all that is needed serves, and says what it can't take.
func readOnlyCache(t *testing.T, was reported) {
	cache := t.TempDir()
	library := installed(t)
	require.NoError(t, os.Mkdir(filepath.Join(cache, "runtimes"), 0o755))
	require.NoError(t, os.Symlink(filepath.Dir(library), filepath.Join(cache, "runtimes", filepath.Base(filepath.Dir(library)))))
	disk := faulttest.Disk{Dir: cache, ReadOnly: true}
	out := filepath.Join(t.TempDir(), "out")
	r := was.report(t, out)
	r.Env = append(r.Env, "POSETEST_CACHE="+cache)
	disk.Under(t, r.Cmd)
	require.Equal(t, 0, r.exit(t), "%s%s", r.out.String(), r.err.String())
	wholeReport(t, out)

	r = command(t, []string{"POSETEST_CACHE=" + cache}, "runtime", "install", "1.32.0")
	disk.Under(t, r.Cmd)
	require.Equal(t, 2, r.exit(t))
	for _, words := range []string{"installing onnxruntime@1.32.0: cannot lock " + cache, disk.Words(), "make the folder for runtimes writable, or choose another"} {
		assert.Contains(t, r.sentence(t), words)
	}
}

// A model that can't be written whole is not there, and the sentence names it.
func derivedOn(t *testing.T, _ reported, disk faulttest.Disk) {
	h := newHouse(t, "fp32", "uint8")
	file := filepath.Base(h.model("fp32"))
	derived := filepath.Base(h.model("uint8"))
	h.models["models"][0]["where"], h.models["models"][1]["where"] = "data", "derived"
	h.write(t)
	copyFile(t, filepath.Join(repository, "models", "calibration", "movenet-lightning.json"), filepath.Join(h.dir, "models", "calibration", "movenet-lightning.json"))
	source, err := catalog.Sum(filepath.Join(h.dir, "models", file))
	require.NoError(t, err)
	disk.Dir = t.TempDir() // the cache
	made := (&catalog.Finder{Cache: disk.Dir}).DerivedDir(source)
	r := command(t, []string{"POSETEST_CACHE=" + disk.Dir, "POSETEST_DATA=" + filepath.Join(h.dir, "models")}, "models", "make", "--dir", h.dir, "--python", quantizer(t, derived))
	seen := disk.Under(t, r.Cmd)
	require.Equal(t, 2, r.exit(t))
	if disk.ReadOnly {
		assert.Contains(t, r.err.String(), disk.Words()+"; make room there, or choose another cache with POSETEST_CACHE")
	} else {
		assert.Contains(t, strings.ToLower(r.err.String()), strings.ToLower(filepath.Join(made, derived)+": "+disk.Words()+"; make room there, or choose a folder that can be written"))
		assert.Contains(t, r.err.String(), "quantize.py make: exit status 2; its words are above")
	}
	for _, path := range names(t, seen) {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.True(t, info.IsDir() || strings.HasSuffix(path, ".lock"), "%s was left", path)
	}
}

// quantizer stands for a Python with the quantizer: it writes one file as quantize.py does.
func quantizer(t *testing.T, name string) string {
	t.Helper()
	scripts, err := filepath.Abs(filepath.Join(repository, "scripts"))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "python")
	require.NoError(t, os.WriteFile(path, []byte(`#!/usr/bin/env python3
import sys
from pathlib import Path
sys.path.insert(0, "`+scripts+`")
sys.dont_write_bytecode = True
from files import InputError, write_whole
try:
    write_whole(Path(sys.argv[sys.argv.index("--out") + 1], "`+name+`"), bytes(100_000))
except (InputError, OSError) as err:
    print(f"quantize.py: {err}", file=sys.stderr)
    sys.exit(2)
`), 0o755))
	return path
}

func readOnlyTemporary(t *testing.T, was reported) {
	out, before := oldReport(t)
	r := was.report(t, out)
	disk := faulttest.Disk{Dir: r.tmp, ReadOnly: true}
	disk.Under(t, r.Cmd)
	require.Equal(t, 2, r.exit(t))
	for _, words := range []string{"private temporary folder: mkdir " + r.tmp, disk.Words(), "make room there, or set TMPDIR to a folder that can be written"} {
		assert.Contains(t, r.sentence(t), words)
	}
	assert.Equal(t, before, folder(t, out))
}

// detect is the command that finds people in a small set.
func detect(t *testing.T, images, annotations, out string) *run {
	t.Helper()
	return command(t, nil, "coco", "--images", images, "--annotations", annotations, "--models", "movenet-lightning", "--precisions", "fp32", "--runtimes", ort, "--out", out)
}

// What was found until the disk was full stays, and the same command goes on from there.
func fullDetections(t *testing.T, _ reported) {
	images, annotations := cocoSet(t, 2)
	dir := t.TempDir()
	out := filepath.Join(dir, "found.jsonl")
	r := detect(t, images, annotations, out)
	disk := faulttest.Disk{Dir: dir, Room: pageSize}
	seen := disk.Under(t, r.Cmd)
	require.Equal(t, 2, r.exit(t))
	assert.Equal(t, "write "+out+": "+disk.Words()+"; make room there and run the same command again, which goes on from here", r.sentence(t))
	assert.Empty(t, r.out.String(), "figures of half a set")

	r = detect(t, images, annotations, filepath.Join(seen, "found.jsonl"))
	require.Equal(t, 0, r.exit(t), r.err.String())
	assert.Contains(t, r.err.String(), "images already")
	whole := filepath.Join(t.TempDir(), "whole.jsonl")
	r = detect(t, images, annotations, whole)
	require.Equal(t, 0, r.exit(t), r.err.String())
	assert.Equal(t, lines(t, whole), lines(t, filepath.Join(seen, "found.jsonl")))
	assert.Len(t, names(t, seen), 1, "no lock is left behind")
}

func readOnlyDetections(t *testing.T, _ reported) {
	images, annotations := cocoSet(t, 1)
	disk := faulttest.Disk{Dir: t.TempDir(), ReadOnly: true}
	r := detect(t, images, annotations, filepath.Join(disk.Dir, "found.jsonl"))
	seen := disk.Under(t, r.Cmd)
	require.Equal(t, 2, r.exit(t))
	for _, words := range []string{"found.jsonl", disk.Words(), "choose a place that can be written with --out"} {
		assert.Contains(t, r.sentence(t), words)
	}
	assert.Empty(t, names(t, seen))
}

// The runs before stay in the history, and what was measured now is told all the same.
func historyOn(t *testing.T, _ reported, disk faulttest.Disk) {
	disk.Dir = t.TempDir()
	path := filepath.Join(disk.Dir, "gate.jsonl")
	ratio := measure.Ratio{Ratio: 1, Low: 1, High: 1, Pairs: 6}
	past := record{Machine: observe.ThisMachine(), Cell: observe.Cell{Model: "m", Precision: "p", Provider: "cpu", ORT: "1"}, Against: "fp32", Wall: ratio, CPU: ratio}
	require.NoError(t, writeHistory(path, []record{past}))
	before := folder(t, disk.Dir)
	r := command(t, nil, "gate", "--models", "movenet-lightning", "--precisions", "int8-qdq", "--runtimes", ort, "--providers", "cpu",
		"--against-program", self(t), "--pairs", "6", "--pair", "20ms", "--history", path)
	seen := disk.Under(t, r.Cmd)
	require.Equal(t, 2, r.exit(t), r.err.String())
	said := r.sentence(t)
	if disk.ReadOnly {
		assert.Empty(t, r.out.String(), "nothing was measured for it")
		assert.Equal(t, "--history: write into "+disk.Dir+": "+disk.Words()+"; make room there, or choose a file that can be written", said)
	} else {
		assert.Contains(t, r.out.String(), "comparisons: ")
		assert.Equal(t, "--history: write "+path+": "+disk.Words()+"; its runs before are whole, and this one is not among them: make room there, or choose a file that can be written", said)
	}
	assert.Equal(t, before, folder(t, seen))
}

// self is the test binary, which workers of the other build can be.
func self(t *testing.T) string {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	return program
}
