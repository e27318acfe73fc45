// The same list, as a function of the hub sees it. The hub tells the page whenever the answer is another one.
import { useMutation, useQuery } from "@ferry/react";

export function Progress() {
  const { data, error, isStale } = useQuery("progress");
  const clearDone = useMutation("clearDone");

  return (
    <section className="card progress" aria-labelledby="progress-title" data-stale={isStale}>
      <h2 id="progress-title">Progress</h2>
      {data ? (
        <>
          <p className="figure">
            {data.all === 0 ? "The list is empty" : <><strong>{data.done}</strong> of {data.all} done</>}
          </p>
          <progress value={data.done} max={data.all || 1} aria-label="Done" />
          <div className="row">
            <span className="hint">{isStale ? "As last heard" : "On all devices"}</span>
            <button
              type="button"
              className="quiet"
              disabled={data.done === 0 || clearDone.isPending}
              onClick={() => clearDone().catch(() => {})}
            >
              Clear done
            </button>
          </div>
        </>
      ) : (
        <p className="hint">{error ? error.message : "Asking the hub …"}</p>
      )}
      {clearDone.error && <p className="error">{clearDone.error.message}</p>}
    </section>
  );
}
