// Shows decisions in the grid at once: the App's own reload requests the dataset, its views and every page again, which
// takes seconds. The changed fields are written to the samples in the App's store, and the grid is redrawn from it.
(function () {
  const { Operator, OperatorConfig, registerOperator } = window.__foo__;
  const { getCurrentEnvironment, refresher } = window.__fos__;

  const held = (record) => {
    const sample = record.getValue("sample");
    return typeof sample === "string" ? JSON.parse(sample) : sample;
  };

  class ShowDecisions extends Operator {
    get config() {
      return new OperatorConfig({ name: "show_decisions", label: "Show decisions", unlisted: true });
    }

    // params.samples: sample id -> field -> value, as the database has it.
    async execute({ params, state }) {
      getCurrentEnvironment().commitUpdate((store) => {
        for (const [id, values] of Object.entries(params.samples)) {
          const record = store.get(id);
          // The App takes text as well as an object; its store lets only text be written.
          if (record) record.setValue(JSON.stringify({ ...held(record), ...values }), "sample");
          const opened = store.get(`${id}-modal`);
          if (opened) opened.invalidateRecord();
        }
      });
      state.set(refresher, (await state.snapshot.getPromise(refresher)) + 1);
    }
  }

  registerOperator(ShowDecisions, "@curation/review");
})();
