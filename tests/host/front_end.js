// Opens workflows in the real front end and prints what became of them, as JSON.
// usage: node front_end.js <server url> <chromium> <pack> <folder for pictures> <workflow> [<workflow> …]
const path = require('path');
const { chromium } = require('playwright-core');

const [url, executablePath, pack, folder, ...workflows] = process.argv.slice(2);
const args = [
  '--headless', '--no-sandbox', '--disable-gpu',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

async function open(page, name) {
  const workflow = await (await fetch(`${url}/api/workflow_templates/${pack}/${name}.json`)).json();
  await page.evaluate((w) => window.app.loadGraphData(w, true, true), workflow);
  await page.waitForTimeout(2000);
  const nodes = await page.evaluate(() => window.app.graph._nodes.map((node) => ({
    id: node.id, type: node.type, pos: [...node.pos], size: [...node.size],
    red: Boolean(node.has_errors), known: node.type in window.LiteGraph.registered_node_types,
  })));
  const prompt = await page.evaluate(async () => (await window.app.graphToPrompt()).output);
  await page.screenshot({ path: path.join(folder, `${name}.png`) });
  return { nodes, prompt };
}

(async () => {
  const browser = await chromium.launch({ executablePath, args });
  const page = await browser.newPage({ viewport: { width: 1900, height: 1000 } });
  await page.goto(url, { timeout: 120000 });
  await page.waitForFunction(() => window.app?.graph && window.app.extensionManager, null, { timeout: 120000 });
  await page.waitForTimeout(3000);
  await page.keyboard.press('Escape'); // the templates dialog of a first visit
  const opened = {};
  for (const name of workflows) opened[name] = await open(page, name);
  console.log(JSON.stringify(opened));
  await browser.close();
})().catch((error) => { console.error(error); process.exit(1); });
