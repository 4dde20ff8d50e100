import * as vega from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';

/** An SVG of a Vega-Lite chart, made without a browser. */
export async function chartSvg(spec: TopLevelSpec): Promise<string> {
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
