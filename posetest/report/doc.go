// Package report turns what was observed and what was expected into pages for people: a table for a terminal, Markdown
// for a repository.
//
//	page := report.Page{Results: results, Missing: notes, Table: table, Machine: machine}
//	page.Text(os.Stdout, report.Style{Width: 160, Color: true})
//	page.Markdown(file)
//
// The same results give the same bytes.
package report
