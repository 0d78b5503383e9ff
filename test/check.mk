# Commands that need no server installed: they fetch what is missing. The
# Makefile reads this file in place of PGXS when one of them is asked for.

help:
	@echo "make                 build the extension for the server of pg_config"
	@echo "make install         install it there"
	@echo "make installcheck    pg_regress against a running server that has it installed"
	@echo "make check           everything, on servers and brokers of its own"
	@echo "make check-long      the same with more faults and records, and on more brokers"
	@echo "make check-versions  the same, as far as it needs no Kafka, on other PostgreSQL versions"
	@echo "make check-valgrind  the suites of loader and Kafka on a server under valgrind"
	@echo "make demo            events flow from a broker to a mart; make demo-stop ends it"
	@echo "make bench           all benches; writes test/bench/results.md"
	@echo "make fmt             format the C sources with PostgreSQL's pgindent"

check:
	@bash test/check.sh $(TESTS)

check-long:
	@DPIPE_LONG=1 bash test/check.sh $(TESTS)

check-versions:
	@bash test/lib/versions.sh $(TESTS)

check-valgrind:
	@bash test/valgrind/run.sh $(TESTS)

demo:
	@bash demo/run.sh

demo-stop:
	@bash demo/stop.sh

bench:
	@bash test/bench/run all

fmt:
	@sh test/lib/fmt.sh

.PHONY: $(COMMANDS)
