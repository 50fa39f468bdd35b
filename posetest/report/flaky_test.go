package report

import (
	"html"
	"strings"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
)

// A flaky cell is shown as such wherever cells are, with how often it did what, and with its quarantine.
func TestFlaky(t *testing.T) {
	p, plain := full(t), page(t) // of the second nothing was repeated
	text, markdown := string(render(p, Style{})), string(markdownOf(t, p))
	page := html.UnescapeString(string(htmlOf(t, p)))
	const tally = "crashes 12 of 20, fails 8 of 20"
	const term = "until 2027-02-22, 90 days left"
	for name, got := range map[string]string{"text": text, "Markdown": strings.ReplaceAll(strings.ReplaceAll(markdown, "&lt;", "<"), "&gt;", ">"), "HTML": page} {
		for _, want := range []string{
			"loads 10 of 10 in 2 ways", "1 × loads, where photos[somebody].persons[0].score is 0.8, not 0.9", "not quarantined",
			tally, "12 × crashes: died of SIGSEGV during open", "8 × fails: node <index>", "quarantined " + term + " (owner posetest maintainers, https://example.org/issues/1)",
			"3 cells were run 10 to 20 times each: 2 flaky.", "(flaky)", "all, int8-qop, openvino, all; run here: 1", "crashes, sometimes fails",
		} {
			assert.Contains(t, got, want, name)
		}
	}
	assert.Contains(t, text, "\nFlaky:\n  model=yolov8n-pose/precision=fp16/provider=cpu/ort=1.23.2: loads 10 of 10 in 2 ways\n      9 × loads\n")
	assert.Contains(t, text, "\nIn quarantine:\n  golden/support.toml:")
	assert.Contains(t, text, "crashes (flaky)")
	assert.NotContains(t, text, "(unstable)", "the one unstable cell is flaky")
	assert.Contains(t, page, "crashes, flaky")
	assert.Contains(t, page, `<h3>When repeated</h3><p>fails 10 of 10</p>`, "a cell that was repeated and is stable says so, too")
	assert.Contains(t, page, "--runtimes openvino-1.23.0 --repeat 20", "the command that runs it again repeats it")

	_, rest, found := strings.Cut(page, `<section id="flaky"`)
	assert.True(t, found)
	section, _, _ := strings.Cut(rest, "</section>")
	assert.Equal(t, 2, strings.Count(section, "<li>"), "a cell that is stable is no flaky one")

	text = string(render(plain, Style{}))
	assert.NotContains(t, text, "Flaky")
	assert.NotContains(t, text, "flaky")
	assert.Contains(t, text, "(unstable)")
	assert.Contains(t, text, ": until 2027-02-22\n", "without a day nothing is said of days left")
}

func TestRepeatedSentence(t *testing.T) {
	ran := func(times ...int) Result {
		var r Result
		for _, n := range times {
			r.Variants = append(r.Variants, observe.Variant{Times: n, Outcome: observe.Loads})
		}
		return r
	}
	for _, row := range []struct {
		why     string
		results []Result
		want    string
	}{
		{"nothing was repeated", []Result{ran(), ran()}, ""},
		{"nothing was run", nil, ""},
		{"all of them", []Result{ran(10), ran(10)}, "2 cells were run 10 times each: 0 flaky."},
		{"some of them, and one is flaky", []Result{ran(), ran(7, 3)}, "1 cells were run 10 times each: 1 flaky."},
		{"machines that repeat more or less often", []Result{ran(20), ran(10), ran(3)}, "3 cells were run 3 to 20 times each: 0 flaky."},
	} {
		assert.Equal(t, row.want, Page{Results: row.results}.repeated(), row.why)
	}
}

// The quarantines of the table are listed whatever was run, past ones too.
func TestQuarantines(t *testing.T) {
	p := page(t)
	p.Results = nil
	for today, term := range map[string]string{"2027-02-21": "until 2027-02-22, 1 day left", "2027-02-22": "until 2027-02-22, which is today", "2027-02-23": "until 2027-02-22, which was 1 day ago"} {
		day, err := time.Parse(time.DateOnly, today)
		assert.NoError(t, err)
		p.Today = day
		assert.Equal(t, []quarantine{{row: p.Table[3].Where(), cells: "all, int8-qop, openvino, all; run here: 0", does: "crashes, sometimes fails", term: term,
			owner: "posetest maintainers", see: "https://example.org/issues/1"}}, p.quarantines())
	}
	p.Table = expect.Table{}
	assert.Empty(t, p.quarantines())
}
