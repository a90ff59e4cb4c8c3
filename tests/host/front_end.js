// Opens workflows in the real front end and prints what became of them, as JSON.
// usage: node front_end.js <server url> <chromium> <cases> <folder for pictures>
// <cases> is a JSON file: a list of {name, workflow, vue, bypass}, where `vue` asks for Nodes 2.0 and `bypass` lists the
// types of nodes to switch off before the prompt is taken.
const fs = require('fs');
const path = require('path');
const { chromium } = require('playwright-core');

const BYPASSED = 4; // a node's mode
const [url, executablePath, cases, folder] = process.argv.slice(2);
const args = [
  '--headless', '--no-sandbox', '--disable-gpu',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

async function start(browser, vue) {
  const page = await browser.newPage({ viewport: { width: 1900, height: 1000 } });
  await page.goto(url, { timeout: 120000 });
  await page.waitForFunction(() => window.app?.graph && window.app.extensionManager, null, { timeout: 120000 });
  await page.waitForTimeout(3000);
  await page.keyboard.press('Escape'); // the templates dialog of a first visit
  await page.evaluate((on) => window.app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on), vue);
  return page;
}

// Waits until nothing moves or grows any more, and in Nodes 2.0 until every node has its element.
async function settle(page, vue) {
  const look = (on) => JSON.stringify(window.app.graph._nodes.map((node) => [
    node.id, ...node.pos, ...node.size, !on || Boolean(document.querySelector(`[data-node-id="${node.id}"]`)),
  ]));
  let before = null;
  for (let same = 0, tries = 0; same < 4 && tries < 40; tries += 1) {
    await page.waitForTimeout(150);
    const now = await page.evaluate(look, Boolean(vue));
    same = now === before && !now.includes('false') ? same + 1 : 0;
    before = now;
  }
}

async function open(page, { name, workflow, vue, bypass }) {
  await page.evaluate((w) => window.app.loadGraphData(w, true, true), workflow);
  await settle(page, vue);
  const nodes = await page.evaluate(() => window.app.graph._nodes.map((node) => ({
    id: node.id, type: node.type, pos: [...node.pos], size: [...node.size],
    red: Boolean(node.has_errors), known: node.type in window.LiteGraph.registered_node_types,
    element: Boolean(document.querySelector(`[data-node-id="${node.id}"]`)),
  })));
  await page.screenshot({ path: path.join(folder, `${name}${vue ? '-vue' : ''}.png`) });
  const prompt = await page.evaluate(async ([types, mode]) => {
    for (const node of window.app.graph._nodes) if (types.includes(node.type)) node.mode = mode;
    return (await window.app.graphToPrompt()).output;
  }, [bypass ?? [], BYPASSED]);
  return { nodes, prompt };
}

(async () => {
  const browser = await chromium.launch({ executablePath, args });
  const opened = { canvas: {}, vue: {} };
  for (const vue of [false, true]) {
    const page = await start(browser, vue);
    for (const one of JSON.parse(fs.readFileSync(cases)).filter((one) => Boolean(one.vue) === vue)) {
      opened[vue ? 'vue' : 'canvas'][one.name] = await open(page, one);
    }
    await page.close();
  }
  console.log(JSON.stringify(opened));
  await browser.close();
})().catch((error) => { console.error(error); process.exit(1); });
